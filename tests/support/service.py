"""A service as a process under test, and somebody who calls it as hubs do.

    with Service(redis) as service, Caller(redis) as caller:
        service.wait_ready()
        assert caller.call("testing.v1.echo", {"text": "x"}).data == {"text": "x"}

Leaving the block ends the service and fails the test when a sanitizer spoke or when the exit code
is not the expected one.
"""

import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import msgpack

from support.hub import ROOT, SANITIZER_MARKS

BYTES, JSON, MSGPACK = 0, 1, 2  # kinds of payloads
WAIT_SECONDS = 15.0


def wait_until(question, what, timeout=WAIT_SECONDS):
    """Polls until `question()` is true, and returns its answer."""
    deadline = time.monotonic() + timeout
    while not (answer := question()):
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.01)  # between polls of a bounded wait
    return answer


class Service:
    """`options` become flags; `env` is added to a clean environment."""

    def __init__(self, redis, *, binary=None, options=None, env=None, expected_exit=0):
        self._directory = tempfile.TemporaryDirectory(prefix="wirehub-service-")
        self.directory = Path(self._directory.name)
        self.journal_path = self.directory / "journal"
        self.expected_exit = expected_exit
        self.lines = []
        self.records = []
        binary = binary or os.environ.get("WIREHUB_TEST_SERVICE",
                                          ROOT / "build/debug/bin/test_service")
        options = {"redis.address": redis.address, "log.format": "json",
                   "testing.journal": self.journal_path, **(options or {})}
        flags = [f"--{name}={value}" for name, value in options.items() if value is not None]
        self.process = subprocess.Popen(
            [str(binary), "serve", *flags], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace",
            env={"PATH": os.environ["PATH"], **{k: v for k, v in os.environ.items()
                                                if k.endswith("SAN_OPTIONS")}, **(env or {})})
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)
            try:
                self.records.append(json.loads(line))
            except ValueError:
                pass

    def find(self, event, **fields):
        """Records of the log with this event and these fields."""
        return [record for record in list(self.records) if record.get("event") == event and
                all(str(record.get(name)) == str(value) for name, value in fields.items())]

    def wait_log(self, event, **fields):
        def look():
            found = self.find(event, **fields)
            if not found and self.process.poll() is not None:
                self._reader.join(WAIT_SECONDS)
                raise AssertionError(f"ended without {event}:\n{''.join(self.lines)}")
            return found
        return wait_until(look, f"no {event} {fields}")[0]

    @property
    def port(self):
        return int(self.wait_log("started")["http"].rsplit(":", 1)[1])

    def http(self, path, method="GET", data=None):
        """(status, text)"""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method,
                                         data=data)
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def is_ready(self):
        return self.http("/readyz")[0] == 200

    def wait_ready(self):
        wait_until(self.is_ready, "not ready")
        return self

    def metric(self, name, **labels):
        """The value of one series, without its prefix wirehub_service_."""
        want = f"wirehub_service_{name}"
        if labels:
            want += "{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}"
        for line in self.http("/metrics")[1].splitlines():
            if line.rsplit(" ", 1)[0] == want:
                return float(line.rsplit(" ", 1)[1])
        raise KeyError(want)

    def journal(self):
        """What handlers did, without the ticks of the job."""
        if not self.journal_path.exists():
            return []
        lines = self.journal_path.read_text().splitlines()
        return [line for line in lines if not line.startswith("tick")]

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def wait_exit(self, timeout=30):
        self.process.wait(timeout)
        self._reader.join(timeout)
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.signal()
            try:
                self.wait_exit()
            except subprocess.TimeoutExpired:
                self.process.kill()
        code = self.wait_exit()
        text = "".join(self.lines)
        self._directory.cleanup()
        assert not any(mark in text for mark in SANITIZER_MARKS), text
        assert self.expected_exit is None or code == self.expected_exit, f"exit {code}:\n{text}"

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self.expected_exit = None
        self.close()


class Answer:
    def __init__(self, fields):
        self.id = fields["id"]
        self.error = fields.get("error")
        self.code = self.error["code"] if self.error else 0
        self.kind, self.raw = fields.get("data", (None, None))

    @property
    def data(self):
        if self.raw is None:
            return None
        return msgpack.unpackb(self.raw) if self.kind == MSGPACK else json.loads(self.raw)


class RespConnection:
    """Just enough of RESP2, blocking."""

    def __init__(self, redis):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(WAIT_SECONDS)
        self.socket.connect(str(redis.socket_path))
        self.input = self.socket.makefile("rb")

    def send(self, *words):
        words = [word.encode() if isinstance(word, str) else word for word in words]
        self.socket.sendall(b"*%d\r\n" % len(words) +
                            b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))

    def read(self):
        line = self.input.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("Redis closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"*":
            return [self.read() for _ in range(int(rest))]
        if kind == b"$":
            return self.input.read(int(rest) + 2)[:-2] if int(rest) >= 0 else None
        if kind == b"-":
            raise RuntimeError(rest.decode())
        return int(rest) if kind == b":" else rest

    def command(self, *words):
        self.send(*words)
        return self.read()

    def close(self):
        self.input.close()
        self.socket.close()


class Caller:
    """A hub, as far as a service can tell."""

    def __init__(self, redis, name="test"):
        self.redis = redis
        self.reply = f"wh:rpc:reply:{name}"
        self.messages = 0  # on the reply channel
        self.next_id = 1
        self.answers = {}
        self.connect()

    def connect(self):
        """Also again, after Redis restarted."""
        self.commands = RespConnection(self.redis)
        self.listening = RespConnection(self.redis)
        self.listening.command("SUBSCRIBE", self.reply)

    def envelope(self, method, params=None, *, kind=JSON, timeout=10.0, **fields):
        """(id, bytes)"""
        now = int(time.time() * 1000)
        call = {"v": 1, "id": self.next_id, "method": method, "user": "42", "client": "c1",
                "sent_ms": now, "deadline_ms": now + int(timeout * 1000), "reply": self.reply}
        self.next_id += 1
        if params is not None:
            raw = params if isinstance(params, bytes) else (
                msgpack.packb(params) if kind == MSGPACK else json.dumps(params).encode())
            call["params"] = [kind, raw]
        call.update(fields)
        return call["id"], msgpack.packb(call)

    def push(self, queue, *elements):
        return self.commands.command("RPUSH", f"wh:rpc:{queue}", *elements)

    def send(self, method, params=None, **options):
        """Returns the id, without waiting."""
        number, element = self.envelope(method, params, **options)
        self.push(method.split(".")[0], element)
        return number

    def wait(self, number):
        while number not in self.answers:
            kind, _, payload = self.listening.read()
            if kind == b"message":
                self.messages += 1
                unpacker = msgpack.Unpacker()
                unpacker.feed(payload)
                for fields in unpacker:
                    self.answers[fields["id"]] = Answer(fields)
        return self.answers.pop(number)

    def call(self, method, params=None, **options):
        return self.wait(self.send(method, params, **options))

    def cancel(self, service, *ids):
        message = b"".join(msgpack.packb({"id": one, "reply": self.reply}) for one in ids)
        return self.commands.command("PUBLISH", f"wh:rpc:alive:{service}", message)

    def alive(self, service):
        return self.commands.command("PUBSUB", "NUMSUB", f"wh:rpc:alive:{service}")[1]

    def queued(self, service):
        return self.commands.command("LLEN", f"wh:rpc:{service}")

    def close(self):
        self.commands.close()
        self.listening.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
