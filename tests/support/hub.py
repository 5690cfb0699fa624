"""The hub as a process under test: start, watch, provoke, stop, and judge what it left behind.

    with Hub({"engine": {"type": "memory"}}) as hub:
        hub.wait_ready()
        assert hub.http("/livez").status == 200

Leaving the block ends the hub and fails the test when a sanitizer spoke, when the exit code is not
the expected one, or when a secret of the run shows in its output.
"""

import copy
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from support import tokens
from support.ws import Response

ROOT = Path(__file__).resolve().parents[2]
SANITIZER_EXIT = 86
SANITIZER_MARKS = ("AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "runtime error:",
                   "UndefinedBehaviorSanitizer", "MemorySanitizer")
SECRET_OPTIONS = ("hmac_secret_key", "hmac_previous_secret_key", "key", "key_pem", "password")
HMAC_SECRET = "a secret that only the tests know 4f1c"

DEFAULT_CONFIG = {
    "http_server": {"address": "127.0.0.1", "port": 0},
    "client": {
        "allow_anonymous_connect_without_token": True,
        "token": {"hmac_secret_key": HMAC_SECRET},
    },
    "channel": {
        "without_namespace": {
            "allow_subscribe_for_client": True,
            "allow_subscribe_for_anonymous": True,
            "allow_publish_for_subscriber": True,
            "allow_publish_for_anonymous": True,
        },
        "namespaces": [
            {"name": "market", "allow_subscribe_for_client": True,
             "allow_subscribe_for_anonymous": True},
            {"name": "orders", "allow_user_limited_channels": True},
        ],
    },
    "drain": {"spread": "0ms"},
    "log": {"level": "info", "format": "json"},
    "workers": 1,
}


def binary_path():
    """WIREHUB_BIN, else the sanitized build."""
    return Path(os.environ.get("WIREHUB_BIN", ROOT / "build/debug/bin/wirehub"))


def merge(base, over):
    """Deep merge of mappings; lists and scalars of `over` replace those of `base`."""
    if not isinstance(base, dict) or not isinstance(over, dict):
        return copy.deepcopy(over)
    return {**copy.deepcopy(base), **{k: merge(base.get(k), v) for k, v in over.items()}}


def find_secrets(config):
    """Every configured value of an option that holds a secret."""
    if isinstance(config, list):
        return [secret for item in config if isinstance(item, (dict, list))
                for secret in find_secrets(item)]
    found = []
    for name, value in config.items():
        if isinstance(value, (dict, list)):
            found += find_secrets(value)
        elif name in SECRET_OPTIONS and isinstance(value, str) and value:
            found.append(value)
    return found


class Hub:
    """`config` is merged over DEFAULT_CONFIG (`defaults=False`: taken as it is; `text`: the file's
    text, whatever it is).

    The log is kept whole: `lines` as text, `records` as parsed objects.  `expected_exit` is judged
    by close(); tests that kill the hub themselves set it, None accepts anything.
    """

    def __init__(self, config=None, *, redis=None, defaults=True, text=None, args=(), env=None,
                 expected_exit=0, start_timeout=15.0):
        self._directory = tempfile.TemporaryDirectory(prefix="wirehub-hub-")
        self.directory = Path(self._directory.name)
        self.config_path = self.directory / "wirehub.yaml"
        self.config = merge(DEFAULT_CONFIG if defaults else {}, config or {})
        if redis is not None:
            engine = {"engine": {"type": "redis", "redis": {"address": redis.address}}}
            self.config = merge(self.config, engine)
        self.secrets = []
        self.expected_exit = expected_exit
        self.exit_code = None
        self.lines = []
        self.records = []
        self._changed = threading.Condition()
        self._port = None
        self.write_config(self.config)
        if text is not None:
            self.config_path.write_text(text)
        self._start(args, env)
        try:
            self._port = self.wait_log("listening", timeout=start_timeout)["port"]
        except BaseException:
            self._stop_process()
            self._print_log()
            raise

    def write_config(self, config):
        """Replace the file (for SIGHUP).  JSON is YAML."""
        self.secrets += [s for s in find_secrets(config) if s not in self.secrets]
        self.config_path.write_text(json.dumps(config, indent=2))

    def _start(self, args, env):
        sanitizer = f"exitcode={SANITIZER_EXIT}:abort_on_error=0"
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("WIREHUB_")},
            "ASAN_OPTIONS": sanitizer,
            "TSAN_OPTIONS": sanitizer,
            "UBSAN_OPTIONS": f"{sanitizer}:print_stacktrace=1",
            **(env or {}),
        }
        self.process = subprocess.Popen(
            [binary_path(), "serve", "--config", self.config_path, *args],
            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, errors="replace")
        self._readers = [threading.Thread(target=self._read, args=(stream,), daemon=True)
                         for stream in (self.process.stdout, self.process.stderr)]
        for reader in self._readers:
            reader.start()

    def _read(self, stream):
        for line in stream:
            try:
                record = json.loads(line)
            except ValueError:
                record = None
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                if isinstance(record, dict):
                    self.records.append(record)
                self._changed.notify_all()

    # Where it is

    @property
    def port(self):
        return self._port

    @property
    def host(self):
        address = self.config.get("http_server", {}).get("address", "")
        return f"[{address}]" if ":" in address else "127.0.0.1"

    @property
    def url(self):
        return f"http://{self.host}:{self.port}"

    @property
    def ws_url(self):
        return f"ws://{self.host}:{self.port}/connection/websocket"

    def http(self, path, *, method="GET", data=None, headers=None, timeout=5.0):
        """One request; statuses of 400 and above are responses too, not exceptions."""
        request = urllib.request.Request(self.url + path, data=data, method=method,
                                         headers=headers or {})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            answer = opener.open(request, timeout=timeout)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            names = {name.lower(): value for name, value in answer.headers.items()}
            return Response(answer.status, answer.reason, names, answer.read())

    def wait_ready(self, is_ready=True, timeout=15.0):
        """Until /readyz says 200, or 503 for is_ready=False; returns that response.

        A worker answers before its supervisor, on a busy machine, has written who it started: for
        200 the supervisor has to have said that all workers are ready too, so that worker_pids has
        them."""
        want = 200 if is_ready else 503
        deadline = time.monotonic() + timeout
        seen = None
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"the hub ended with {self.process.poll()}"
            try:
                seen = self.http("/readyz")
            except OSError as error:
                seen = error
            if isinstance(seen, Response) and seen.status == want:
                if is_ready:
                    self.wait_log("ready", timeout=deadline - time.monotonic())
                return seen
            time.sleep(0.02)  # between polls of a bounded wait
        raise TimeoutError(f"/readyz did not become {want}: {seen}")

    def metrics(self):
        """/metrics as {'name{labels}': number}."""
        samples = {}
        for line in self.http("/metrics").body.decode().splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                samples[name] = float(value)
        return samples

    def wait_metric(self, name, condition, timeout=5.0):
        """Until condition(value of `name`) holds; returns the value."""
        deadline = time.monotonic() + timeout
        while not condition(value := self.metrics().get(name, 0.0)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} is {value}")
            time.sleep(0.02)  # between polls of a bounded wait
        return value

    def token(self, user, *, secret=None, alg="HS256", **claims):
        """A connection token signed with the configured secret; claims with a value of None are
        left out.  It must never show in the log."""
        key = secret or self.config["client"]["token"]["hmac_secret_key"]
        present = {k: v for k, v in {"sub": user, **claims}.items() if v is not None}
        return self.keep_secret(tokens.make(present, key, alg))

    def keep_secret(self, secret):
        """Fail the test when `secret` shows in the output; returns it."""
        self.secrets.append(secret)
        return secret

    # What it says

    def wait_log(self, event, timeout=5.0, since=0, **fields):
        """The first record at or after index `since` with this event and these fields."""
        wanted = {"event": event, **fields}
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for record in self.records[since:]:
                    if all(record.get(k) == v for k, v in wanted.items()):
                        return record
                left = deadline - time.monotonic()
                if left <= 0 or (self.process.poll() is not None
                                 and not any(r.is_alive() for r in self._readers)):
                    raise TimeoutError(f"no {wanted} in the log; its end: {self.lines[-8:]}")
                self._changed.wait(min(left, 0.1))

    def log_mark(self):
        """The index for wait_log(since=…) of what is logged from now on."""
        with self._changed:
            return len(self.records)

    @property
    def worker_pids(self):
        """Living workers, in the order in which they started."""
        with self._changed:
            started = [r["pid"] for r in self.records if r.get("event") == "worker_started"]
        return [pid for pid in dict.fromkeys(started) if is_running(pid)]

    # What is done to it

    def send_signal(self, number):
        os.kill(self.process.pid, number)

    def reload(self, config):
        """Write `config` (merged over the present one) and send SIGHUP."""
        self.config = merge(self.config, config)
        self.write_config(self.config)
        self.send_signal(signal.SIGHUP)

    def kill_worker(self, pid=None, number=signal.SIGKILL):
        """Kill one worker (the first living one) and return its pid."""
        victim = pid if pid is not None else self.worker_pids[0]
        os.kill(victim, number)
        return victim

    def terminate(self, timeout=15.0):
        """SIGTERM, wait for the end; returns the exit code.  close() does the judging."""
        self.send_signal(signal.SIGTERM)
        return self.wait_exit(timeout)

    def wait_exit(self, timeout=15.0):
        self.exit_code = self.process.wait(timeout)
        for reader in self._readers:
            reader.join(timeout)
        return self.exit_code

    # The end

    def close(self):
        workers = self.worker_pids
        is_hung = False
        try:
            if self.process.poll() is None:
                try:
                    self.terminate()
                except subprocess.TimeoutExpired:
                    is_hung = True
            else:
                self.wait_exit()
        finally:
            self._stop_process()
            self._print_log()
            self._directory.cleanup()
        assert not is_hung, "the hub did not end after SIGTERM"
        # Those whose supervisor was killed end with it, but not in the same instant.
        deadline = time.monotonic() + (10 if self.exit_code == -signal.SIGKILL else 0)
        while any(is_running(pid) for pid in workers) and time.monotonic() < deadline:
            time.sleep(0.01)  # between polls of a bounded wait
        left = [pid for pid in workers if is_running(pid)]
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        self.check_output()
        assert not left, f"workers outlived the hub: {left}"
        assert self.expected_exit in (None, self.exit_code), \
            f"the hub ended with {self.exit_code}, not {self.expected_exit}"

    def check_output(self):
        output = "\n".join(self.lines)
        for mark in SANITIZER_MARKS:
            assert mark not in output, f"a sanitizer spoke: {mark}"
        for secret in self.secrets:
            shown = [line for line in self.lines if secret in line]
            assert not shown, f"a secret shows in the output: {shown[0]}"

    def _stop_process(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for reader in self._readers:
            reader.join(2.0)
        for stream in (self.process.stdout, self.process.stderr):
            stream.close()

    def _print_log(self):
        """pytest shows it with a failed test and drops it otherwise."""
        print(f"--- output of the hub, last 60 of {len(self.lines)} lines", file=sys.stdout)
        print("\n".join(self.lines[-60:]), file=sys.stdout)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            self.close()
        except AssertionError:
            if kind is None:
                raise  # the body's own failure says more than its consequences


def is_running(pid):
    """Alive and not a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def run(*args, stdin=None, env=None, timeout=15):
    """One run of the hub's command line to its end: CompletedProcess with text output."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("WIREHUB_")}
    done = subprocess.run([binary_path(), *args], input=stdin, text=True, timeout=timeout,
                          env={**clean, **(env or {})}, capture_output=True, check=False)
    for mark in SANITIZER_MARKS:
        assert mark not in done.stdout + done.stderr, done.stderr
    return done
