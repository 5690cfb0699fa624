"""A private PostgreSQL: its own cluster, directory, port and socket, never the system's."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from support.redis_server import free_port

START_SECONDS = 30.0
SUPERUSER = "wirehub_test"
PASSWORD = "a database password that only the tests know 7d20"


def binaries():
    """The newest installed server's programs; Debian keeps them out of the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"),
                   key=lambda path: int(path.parent.parent.name))
    if found:
        return found[-1].parent
    path = shutil.which("postgres")
    assert path, "no PostgreSQL server is installed"
    return Path(path).parent


def owner():
    """PostgreSQL refuses to run as root: then somebody without rights owns the cluster."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("root needs a user postgres or nobody to run PostgreSQL as")


class Postgres:
    """Running from the constructor to close(); `port` stays the same over restart()."""

    def __init__(self, *, fsync=False, settings=None):
        self._directory = tempfile.TemporaryDirectory(prefix="wirehub-pg-",
                                                      ignore_cleanup_errors=True)
        self.directory = Path(self._directory.name)
        self.data = self.directory / "data"
        self.log_path = self.directory / "log"
        self.owner = owner()
        self.bin = binaries()
        self.process = None
        self.settings = {"fsync": "on" if fsync else "off", "full_page_writes": "off",
                         "synchronous_commit": "on" if fsync else "off", "max_connections": 40,
                         "shared_buffers": "16MB", "log_min_messages": "warning",
                         "log_statement": "none", "autovacuum": "off",
                         "unix_socket_directories": str(self.directory), **(settings or {})}
        if self.owner:
            os.chown(self.directory, self.owner.pw_uid, self.owner.pw_gid)
        password_file = self.directory / "password"
        password_file.write_text(PASSWORD)
        password_file.chmod(0o644)
        self._run("initdb", "-D", str(self.data), "-U", SUPERUSER, "-A", "scram-sha-256",
                  f"--pwfile={password_file}", "-E", "UTF8", "--no-locale", "--no-sync")
        for _ in range(5):
            self.port = free_port()
            if self._start():
                break
        else:
            text = self.log_path.read_text()
            self.close()
            raise RuntimeError(f"PostgreSQL did not start: {text}")

    def _as_owner(self):
        if not self.owner:
            return {}
        return {"user": self.owner.pw_uid, "group": self.owner.pw_gid, "extra_groups": []}

    def _run(self, program, *args):
        subprocess.run([str(self.bin / program), *args], check=True, cwd=self.directory,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=60,
                       env={"PATH": os.environ["PATH"], "LC_ALL": "C"}, **self._as_owner())

    def _start(self):
        options = [word for name, value in self.settings.items() for word in ("-c",
                                                                              f"{name}={value}")]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [str(self.bin / "postgres"), "-D", str(self.data), "-p", str(self.port),
                 "-h", "127.0.0.1", *options], cwd=self.directory, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
                **self._as_owner())
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            if self.sql("select 1", check=False) == [["1"]]:
                return True
            time.sleep(0.02)  # between polls of a bounded wait
        self.kill()
        return False

    def url(self, database="postgres", port=None):
        password = PASSWORD.replace(" ", "%20")
        return f"postgresql://{SUPERUSER}:{password}@127.0.0.1:{port or self.port}/{database}"

    def create(self, database):
        self.sql(f"create database {database}")
        return self.url(database)

    def sql(self, text, database="postgres", check=True):
        """Rows as lists of texts, "" for NULL."""
        done = subprocess.run(
            [str(self.bin / "psql"), "-X", "-q", "-A", "-t", "-F", "\x1f", "-R", "\x1e",
             "-v", "ON_ERROR_STOP=1", "-h", str(self.directory), "-p", str(self.port),
             "-U", SUPERUSER, "-d", database, "-c", text],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            timeout=60, env={"PATH": os.environ["PATH"], "PGPASSWORD": PASSWORD,
                             "PGCONNECT_TIMEOUT": "5"})
        if check and done.returncode != 0:
            raise RuntimeError(done.stderr)
        rows = done.stdout.rstrip("\n")
        return [row.split("\x1f") for row in rows.split("\x1e")] if rows else []

    def value(self, text, database="postgres"):
        return self.sql(text, database)[0][0]

    def terminate_backends(self, database):
        """Break every connection to it but our own; how many."""
        return int(self.value("select count(pg_terminate_backend(pid)) from pg_stat_activity "
                              f"where datname = '{database}' and pid <> pg_backend_pid()"))

    def stop(self):
        """SIGINT: ends now, rolls everything back, writes its last page."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(START_SECONDS)

    def kill(self):
        """SIGQUIT: ends as after a crash, children included."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(START_SECONDS)

    def start(self):
        if not self._start():
            raise RuntimeError(f"PostgreSQL did not start again: {self.log_path.read_text()}")

    def restart(self):
        self.stop()
        self.start()

    def close(self):
        self.kill()
        self._directory.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
