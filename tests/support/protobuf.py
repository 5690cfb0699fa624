"""A protocol client in Protobuf for tests, by hand: the few messages that the tests speak.

The same verbs as the other clients (support/client.py).  Payloads (`data`) are bytes.
"""

from support.client import Client
from support.ws import BINARY

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

# name: (field number, kind), the kind being "int", "bool", "str", "bytes" or a message.
ERROR = {"code": (1, "int"), "message": (2, "str"), "temporary": (3, "bool")}
PUBLICATION = {"data": (4, "bytes"), "offset": (6, "int")}
UNSUBSCRIBE_PUSH = {"code": (2, "int"), "reason": (3, "str")}
PUSH = {"channel": (2, "str"), "pub": (4, PUBLICATION), "unsubscribe": (7, UNSUBSCRIBE_PUSH)}
CONNECT_RESULT = {"client": (1, "str"), "version": (2, "str"), "expires": (3, "bool"),
                  "ttl": (4, "int"), "ping": (7, "int"), "pong": (8, "bool")}
REPLY = {"id": (1, "int"), "error": (2, ERROR), "push": (4, PUSH), "connect": (5, CONNECT_RESULT),
         "subscribe": (6, {}), "unsubscribe": (7, {}), "publish": (8, {}), "rpc": (13, {"data": (1, "bytes")})}
COMMAND = {"id": (1, "int"),
           "connect": (4, {"token": (1, "str"), "data": (2, "bytes")}),
           "subscribe": (5, {"channel": (1, "str"), "token": (2, "str")}),
           "unsubscribe": (6, {"channel": (1, "str")}),
           "publish": (7, {"channel": (1, "str"), "data": (2, "bytes")}),
           "rpc": (13, {"data": (1, "bytes"), "method": (2, "str")})}


def write_varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


def read_varint(data, at):
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at


def encode(message, schema):
    out = b""
    for name, value in message.items():
        number, kind = schema[name]
        if kind in ("int", "bool"):
            out += write_varint(number << 3 | VARINT) + write_varint(int(value))
            continue
        body = (encode(value, kind) if isinstance(kind, dict)
                else value.encode() if kind == "str" else value)
        out += write_varint(number << 3 | BYTES) + write_varint(len(body)) + body
    return out


def decode(data, schema):
    """Fields that the schema does not list are skipped, as any reader must."""
    names = {number: (name, kind) for name, (number, kind) in schema.items()}
    message, at = {}, 0
    while at < len(data):
        tag, at = read_varint(data, at)
        wire = tag & 7
        if wire == VARINT:
            value, at = read_varint(data, at)
        elif wire == BYTES:
            size, at = read_varint(data, at)
            assert at + size <= len(data), f"a field beyond its message: {data!r}"
            value, at = data[at:at + size], at + size
        else:
            at += {FIXED64: 8, FIXED32: 4}[wire]
            continue
        if tag >> 3 in names:
            name, kind = names[tag >> 3]
            message[name] = (decode(value, kind) if isinstance(kind, dict)
                             else value.decode() if kind == "str"
                             else bool(value) if kind == "bool" else value)
    return message


class ProtobufClient(Client):
    """Binary frames, each message after its length."""

    opcode = BINARY
    protocols = ["centrifuge-protobuf"]

    @staticmethod
    def encode(messages):
        bodies = [encode(message, COMMAND) for message in messages]
        return b"".join(write_varint(len(body)) + body for body in bodies)

    @staticmethod
    def decode(payload):
        messages, at = [], 0
        while at < len(payload):
            size, at = read_varint(payload, at)
            assert at + size <= len(payload), f"half a message at the end of {payload!r}"
            messages.append(decode(payload[at:at + size], REPLY))
            at += size
        return messages
