"""One connection of the hostile server (hostile_server.py): the polite half that its behaviours are
made of, in every encoding, and the means to be impolite."""

import json
import socket
import struct

import msgpack

from support import protobuf
from support.ws import (BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, accept_key, build_frame,
                        mask_bytes)

TIMEOUT = 20.0
HEAD_BYTES_MAX = 65536


class Gone(Exception):
    """The client closed the connection: a behaviour's usual end."""


def split_messages(payload):
    """A frame of length-prefixed messages (docs/PROTOCOL.md)."""
    at = 0
    while at < len(payload):
        size, at = protobuf.read_varint(payload, at)
        yield payload[at:at + size]
        at += size


def join_messages(bodies):
    return b"".join(protobuf.write_varint(len(body)) + body for body in bodies)


class Json:
    opcode = TEXT

    @staticmethod
    def decode(payload):
        return [json.loads(line) for line in payload.split(b"\n") if line]

    @staticmethod
    def encode(replies):
        return "\n".join(json.dumps(reply) for reply in replies).encode()


class Protobuf:
    opcode = BINARY

    @staticmethod
    def decode(payload):
        return [protobuf.decode(body, protobuf.COMMAND) for body in split_messages(payload)]

    @classmethod
    def encode(cls, replies):
        return join_messages(protobuf.encode(cls._bytes(reply), protobuf.REPLY)
                             for reply in replies)

    @classmethod
    def _bytes(cls, value, name=""):
        """Payloads are JSON in bytes."""
        if name == "data":
            return value if isinstance(value, bytes) else json.dumps(value).encode()
        if isinstance(value, dict):
            return {key: cls._bytes(item, key) for key, item in value.items()}
        return value


class Msgpack:
    opcode = BINARY

    @staticmethod
    def decode(payload):
        unpacker = msgpack.Unpacker()
        unpacker.feed(payload)
        return list(unpacker)

    @staticmethod
    def encode(replies):
        return b"".join(msgpack.packb(reply) for reply in replies)


CODECS = {"centrifuge-protobuf": Protobuf, "centrifuge-msgpack": Msgpack,
          "centrifuge-json": Json}


class Peer:
    """`attempt` counts the connections to this behaviour of this server from 1."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(TIMEOUT)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.headers = {}
        self.path = ""
        self.attempt = 0
        self.protocol = None
        self.codec = Json
        self.connect_result = {"client": "c", "version": "0"}
        self.subscribes = 0
        self.pending = []

    # The upgrade

    def read_request(self):
        while b"\r\n\r\n" not in self.buffer:
            if len(self.buffer) > HEAD_BYTES_MAX:
                raise Gone
            self._fill()
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.path = first.split(" ")[1]
        for line in lines:
            name, _, value = line.partition(":")
            self.headers[name.lower()] = value.strip()
        offered = [word.strip()
                   for word in self.headers.get("sec-websocket-protocol", "").split(",")]
        self.protocol = next((word for word in offered if word in CODECS), None)
        self.codec = CODECS.get(self.protocol, Json)

    def upgrade_head(self, **replaced):
        """`replaced`: headers by name with _ for -, None leaves one out; status too."""
        lines = {"Upgrade": "websocket", "Connection": "Upgrade",
                 "Sec-WebSocket-Accept": accept_key(self.headers.get("sec-websocket-key", "")),
                 "Sec-WebSocket-Protocol": self.protocol}
        status = replaced.pop("status", "101 Switching Protocols")
        lines.update({name.replace("_", "-"): value for name, value in replaced.items()})
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value is not None)
        return f"HTTP/1.1 {status}\r\n{text}\r\n".encode()

    def upgrade(self):
        self.send_bytes(self.upgrade_head())

    # Out

    def send_bytes(self, data):
        try:
            self.sock.sendall(data)
        except OSError:
            raise Gone from None

    def send_frame(self, opcode, payload=b"", **options):
        self.send_bytes(build_frame(opcode, payload, mask=options.pop("mask", False), **options))

    def send(self, *replies):
        self.send_frame(self.codec.opcode, self.codec.encode(replies))

    def send_text(self, text):
        self.send_frame(TEXT, text if isinstance(text, bytes) else text.encode())

    def close(self, code=None, reason=b""):
        payload = b"" if code is None else struct.pack(">H", code) + reason
        self.send_frame(CLOSE, payload)

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    # In

    def _fill(self):
        try:
            data = self.sock.recv(65536)
        except OSError:
            raise Gone from None
        if not data:
            raise Gone
        self.buffer += data

    def _take(self, size):
        while len(self.buffer) < size:
            self._fill()
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def recv_frame(self):
        """(opcode, payload); Gone after a close frame, which is answered."""
        first, second = self._take(2)
        size = second & 0x7F
        if size >= 126:
            size = int.from_bytes(self._take(2 if size == 126 else 8), "big")
        mask = self._take(4) if second & 0x80 else None
        payload = self._take(size)
        payload = mask_bytes(payload, mask) if mask else payload
        if first & 15 == CLOSE:
            self.send_frame(CLOSE, payload[:2])
            raise Gone
        return first & 15, payload

    def wait_gone(self):
        """Until the client has had enough."""
        while True:
            self._fill()
            self.buffer = b""

    def commands(self):
        """For ever, one after the other, whoever asked for the one before: several come in one
        frame.  WebSocket pings are answered."""
        while True:
            while self.pending:
                yield self.pending.pop(0)
            opcode, payload = self.recv_frame()
            if opcode == PING:
                self.send_frame(PONG, payload)
            elif opcode in (TEXT, BINARY, CONTINUATION):
                self.pending += self.codec.decode(payload)

    # The polite server

    def serve(self, until=None, replace=None):
        """Answers commands.  At the first command of the kind `until` it stops and returns it.
        replace(command) may answer one itself: then it returns true."""
        for command in self.commands():
            if until is not None and until in command:
                return command
            if replace is not None and replace(command):
                continue
            self.answer(command)
        raise Gone

    def answer(self, command):
        if "id" not in command:
            return  # a pong, or send
        reply = {"id": command["id"]}
        if "connect" in command:
            reply["connect"] = self.connect_result
        elif "rpc" in command:
            reply["rpc"] = {"data": command["rpc"].get("data")}
        elif "subscribe" in command:
            self.subscribes += 1
            reply["subscribe"] = {}
        else:
            reply[next(kind for kind in command if kind != "id")] = {}
        self.send(reply)
