"""A private redis-server: its own port, socket and directory, never the system's."""

import os
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

START_SECONDS = 10.0


def free_port():
    """A port that nobody had a moment ago; whoever binds it must be ready to try another."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class RedisServer:
    """Running from the constructor to close().  `port`, `address` and `socket_path` stay the same
    over restart(), so that clients find it again."""

    def __init__(self, *args):
        self._directory = tempfile.TemporaryDirectory(prefix="wirehub-redis-")
        self.directory = Path(self._directory.name)
        self.socket_path = self.directory / "redis.sock"
        self.log_path = self.directory / "redis.log"
        self.args = args
        self.process = None
        for _ in range(5):
            self.port = free_port()
            if self._start():
                break
        else:
            self.close()
            raise RuntimeError("redis-server did not start")
        self.address = f"127.0.0.1:{self.port}"

    def _start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port),
             "--unixsocket", str(self.socket_path), "--save", "", "--appendonly", "no",
             "--dir", str(self.directory), "--logfile", str(self.log_path), *self.args],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            if self.cli("PING", check=False) == b"PONG\n":
                return True
            time.sleep(0.01)  # between polls of a bounded wait
        self.kill()
        return False

    def cli(self, *args, stdin=None, check=True, timeout=10):
        """redis-cli's output as bytes.  With `stdin` (bytes) that is the last argument, the only
        way in for binary data."""
        command = ["redis-cli", "-s", str(self.socket_path)]
        command += ["-x"] if stdin is not None else []
        done = subprocess.run([*command, *args], input=stdin, timeout=timeout, check=check,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return done.stdout

    def publish(self, channel, payload):
        """PUBLISH wh:ch:<channel>; returns how many connections of hubs received it."""
        data = payload.encode() if isinstance(payload, str) else payload
        return int(self.cli("PUBLISH", f"wh:ch:{channel}", stdin=data))

    def publish_many(self, messages):
        """PUBLISH pairs of (channel's name in Redis, text) in order, over one connection."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(10)
            sock.connect(str(self.socket_path))
            for channel, text in messages:
                words = [b"PUBLISH", channel.encode(), text.encode()]
                sock.sendall(b"*3\r\n" + b"".join(b"$%d\r\n%s\r\n" % (len(word), word)
                                                for word in words))
            replies = b""
            while replies.count(b"\n") < len(messages):
                replies += sock.recv(65536)

    def subscribers(self, channel):
        """How many connections are subscribed to wh:ch:<channel>."""
        return int(self.cli("PUBSUB", "NUMSUB", f"wh:ch:{channel}").split()[1])

    def wait_subscribers(self, channel, count, timeout=5.0):
        deadline = time.monotonic() + timeout
        while (have := self.subscribers(channel)) != count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{channel} has {have} subscriptions, not {count}")
            time.sleep(0.02)  # between polls of a bounded wait

    def info(self, section="all"):
        lines = self.cli("INFO", section).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def stop(self):
        """SIGSTOP: it hangs, its sockets stay open."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def cont(self):
        """SIGCONT: it goes on where it hung."""
        os.kill(self.process.pid, signal.SIGCONT)

    def kill(self):
        """SIGKILL: gone at once, the sockets are reset."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def restart(self):
        """Empty, on the same port and socket; a running one is killed first."""
        self.kill()
        if not self._start():
            raise RuntimeError(f"redis-server did not start again: {self.log_path.read_text()}")

    def close(self):
        self.kill()
        self._directory.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
