"""A service as docs/REDIS.md asks for one, small enough to read: announces itself, is alive while it
listens, pops calls, answers them.

    def pay(call):
        return json_payload({"paid": call["params"]})

    with RpcService(redis, "shop", {"shop.v1.pay": pay}) as shop:
        client.rpc("shop.v1.pay", {"order": 7})

A handler gets the envelope as a dict (payloads as [kind, bytes]) and returns a payload, raises
RpcError, or returns NO_ANSWER.  `python3 -m support.rpc_service SOCKET SERVICE NAME` runs one with
the methods of `standard_methods` as a process of its own, to be killed.
"""

import json
import socket
import sys
import threading
import time

import msgpack

BYTES, JSON, MSGPACK = 0, 1, 2  # enum wh_payload_kind
NO_ANSWER = object()
DIRECTORY = "wh:rpc:services"


class RpcError(Exception):
    def __init__(self, code, message="", temporary=False):
        super().__init__(code, message)
        self.error = {"code": code, "message": message, "temporary": temporary}


def json_payload(value):
    return [JSON, json.dumps(value).encode()]


def msgpack_payload(value):
    return [MSGPACK, msgpack.packb(value)]


def value_of(payload):
    """What a payload of either kind says."""
    if payload is None:
        return None
    kind, data = payload
    return json.loads(data) if kind == JSON else msgpack.unpackb(data) if kind == MSGPACK else data


class Connection:
    """One blocking connection to Redis over its unix socket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.reader = self.socket.makefile("rb")

    def send(self, *words):
        raw = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        self.socket.sendall(b"*%d\r\n" % len(raw)
                            + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in raw))

    def receive(self):
        line = self.reader.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("Redis closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        if kind == b"$":
            return None if rest == b"-1" else self.reader.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self.receive() for _ in range(int(rest))]
        return int(rest) if kind == b":" else rest

    def call(self, *words):
        self.send(*words)
        return self.receive()

    def close(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)  # wakes a thread that reads
        except OSError:
            pass  # Redis was faster
        self.socket.close()


class RpcService:
    """Serving from start (or the with statement) to close.  `threads` calls at a time; `rules` adds
    to what is announced of a method: {"shop.v1.pay": {"access": "role", "roles": ["clerk"]}}."""

    def __init__(self, redis, name, methods, *, threads=1, rules=None, announce=True, alive=True):
        self.path = getattr(redis, "socket_path", redis)
        self.name = name
        self.methods = methods
        self.threads = threads
        self.rules = rules or {}
        self.does_announce = announce
        self.is_alive = alive
        self.calls = []  # every envelope that was popped
        self.expired = []  # ids of those whose deadline had passed
        self.cancels = []  # {"id": …, "reply": …}
        self.changed = threading.Condition()
        self.connections = []
        self.workers = []

    # Life

    def start(self):
        self.control = self._connect()
        if self.does_announce:
            self.announce()
        if self.is_alive:
            alive = self._connect()
            alive.call("SUBSCRIBE", f"wh:rpc:alive:{self.name}")
            self._run(self._listen, alive)
        for _ in range(self.threads):
            self._run(self._serve, self._connect())
        return self

    def announce(self):
        methods = [{"name": name, "access": "anonymous", **self.rules.get(name, {})}
                   for name in self.methods]
        self.write_announcement(json.dumps({"version": "1.0.0", "methods": methods}))

    def write_announcement(self, text):
        self.control.call("HSET", DIRECTORY, self.name, text)
        self.control.call("PUBLISH", DIRECTORY, self.name)

    def close(self):
        for connection in self.connections:
            connection.close()
        for worker in self.workers:
            worker.join(10)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()

    def _connect(self):
        connection = Connection(self.path)
        self.connections.append(connection)
        return connection

    def _run(self, function, connection):
        def run():
            try:
                function(connection)
            except (OSError, ValueError):
                pass  # closed by us, or Redis is gone: the test knows which

        worker = threading.Thread(target=run, daemon=True)
        self.workers.append(worker)
        worker.start()

    # Work

    def _listen(self, connection):
        while True:
            _, _, message = connection.receive()
            unpacker = msgpack.Unpacker()
            unpacker.feed(message)
            with self.changed:
                self.cancels += list(unpacker)
                self.changed.notify_all()

    def _serve(self, connection):
        while True:
            _, calls = connection.call("BLMPOP", 0, 1, f"wh:rpc:{self.name}", "LEFT")
            self._take(connection, msgpack.unpackb(calls[0]))

    def _take(self, connection, call):
        is_late = time.time() * 1000 >= call["deadline_ms"]
        with self.changed:
            self.calls.append(call)
            if is_late:
                self.expired.append(call["id"])
            self.changed.notify_all()
        if is_late:
            return
        answer = {"id": call["id"]}
        try:
            data = self.methods[call["method"]](call)
            if data is NO_ANSWER:
                return
            answer["data"] = data
        except RpcError as error:
            answer["error"] = error.error
        connection.call("PUBLISH", call["reply"], msgpack.packb(answer))

    # Tests

    def wait(self, condition, timeout=10.0):
        """Until `condition()`, which reads calls, expired or cancels."""
        with self.changed:
            assert self.changed.wait_for(condition, timeout), "it did not come to that in time"

    def wait_calls(self, count, timeout=10.0):
        self.wait(lambda: len(self.calls) >= count, timeout)


def standard_methods(service, instance):
    def wait(call):
        time.sleep(value_of(call["params"])["seconds"])  # the work that this method does
        return json_payload(instance)

    return {
        f"{service}.v1.echo": lambda call: call.get("params"),
        f"{service}.v1.instance": lambda call: json_payload(instance),
        f"{service}.v1.wait": wait,
        f"{service}.v1.hang": lambda call: NO_ANSWER,
    }


def main(path, service, instance):
    RpcService(path, service, standard_methods(service, instance), threads=4).start()
    print("serving", flush=True)
    sys.stdin.read()  # until whoever started it is gone


if __name__ == "__main__":
    main(*sys.argv[1:])
