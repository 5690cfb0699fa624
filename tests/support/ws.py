"""A small synchronous WebSocket client (RFC 6455) in pure standard library.

It trusts the server in nothing: a masked frame, a reserved bit, a broken close or text that is no
UTF-8 raises ProtocolError.  It can also misbehave on purpose, which no polite library allows:
send_frame builds any frame, send_bytes sends anything at all.

    ws = WebSocket.connect("ws://127.0.0.1:8000/connection/websocket")
    ws.send_text('{"id":1,"connect":{}}')
    opcode, payload = ws.recv(timeout=2)
    ws.close()
"""

import base64
import hashlib
import os
import select
import socket
import ssl
import struct
import time
import urllib.parse
from dataclasses import dataclass, field

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
DEFAULT_TIMEOUT = 5.0


class ProtocolError(AssertionError):
    """The server did what RFC 6455 forbids."""


class HandshakeError(Exception):
    """The server answered the upgrade with something else than 101."""

    def __init__(self, response):
        super().__init__(f"HTTP {response.status} {response.reason}: {response.body[:200]!r}")
        self.response = response
        self.status = response.status


@dataclass(frozen=True)
class Close:
    """The end of a connection; code 1005: an empty close frame, 1006: none came before the end."""

    code: int
    reason: str = ""


@dataclass(frozen=True)
class Frame:
    fin: bool
    rsv: int
    opcode: int
    payload: bytes


@dataclass
class Response:
    status: int
    reason: str
    headers: dict = field(default_factory=dict)  # names in lower case
    body: bytes = b""


def accept_key(key):
    """Sec-WebSocket-Accept for a Sec-WebSocket-Key (RFC 6455 §4.2.2)."""
    return base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()


def mask_bytes(payload, mask):
    if not payload:
        return b""
    repeated = mask * (len(payload) // 4 + 1)
    size = len(payload)
    number = int.from_bytes(payload, "big") ^ int.from_bytes(repeated[:size], "big")
    return number.to_bytes(size, "big")


def build_frame(opcode, payload=b"", fin=True, rsv=0, mask=True, length_bytes=None):
    """Any frame, legal or not.  `mask`: True random, False none, or four bytes.
    `length_bytes`: 0, 2 or 8 forces the width of the extended length."""
    size = len(payload)
    if length_bytes is None:
        length_bytes = 0 if size < 126 else 2 if size < 65536 else 8
    short = {0: size, 2: 126, 8: 127}[length_bytes]
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode, (0x80 if mask else 0) | short])
    if length_bytes:
        head += size.to_bytes(length_bytes, "big")
    if not mask:
        return head + payload
    key = os.urandom(4) if mask is True else mask
    return head + key + mask_bytes(payload, key)


class WebSocket:
    """One connection.  `response` is the server's answer to the upgrade, `protocol` what it
    chose, `sock` the bare socket for those who need it."""

    def __init__(self, sock, url):
        self.sock = sock
        self.url = url
        self.response = None
        self.protocol = None
        self.answers_pings = True  # WebSocket pings, answered while recv waits
        self.close_received = None
        self._buffer = bytearray()
        self._is_eof = False
        self._fragments = []
        self._fragment_opcode = None

    @classmethod
    def connect(cls, url, protocols=None, headers=None, raw=False, timeout=DEFAULT_TIMEOUT,
                cafile=None):
        """Connect and upgrade.  `protocols`: list offered in Sec-WebSocket-Protocol; [] sends the
        header empty, None does not send it.  `raw`: only the TCP (TLS) connection; the caller
        speaks with send_bytes and recv_bytes, or goes on with handshake()."""
        parts = urllib.parse.urlsplit(url)
        port = parts.port or (443 if parts.scheme == "wss" else 80)
        sock = socket.create_connection((parts.hostname, port), timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if parts.scheme == "wss":
            context = ssl.create_default_context(cafile=cafile)
            sock = context.wrap_socket(sock, server_hostname=parts.hostname)
        ws = cls(sock, url)
        if not raw:
            try:
                ws.handshake(protocols, headers, timeout)
            except BaseException:
                sock.close()
                raise
        return ws

    def handshake(self, protocols=None, headers=None, timeout=DEFAULT_TIMEOUT):
        """Send the upgrade and check the answer; HandshakeError when it is not 101.
        `headers` replace the default ones of the same name; None as value leaves one out."""
        parts = urllib.parse.urlsplit(self.url)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = {
            "Host": parts.netloc,
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": key,
            "Sec-WebSocket-Version": "13",
        }
        if protocols is not None:
            lines["Sec-WebSocket-Protocol"] = ", ".join(protocols)
        lines.update(headers or {})
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        request = f"GET {target} HTTP/1.1\r\n"
        request += "".join(f"{k}: {v}\r\n" for k, v in lines.items() if v is not None) + "\r\n"
        self.send_bytes(request.encode())

        self.response = self.recv_response(timeout)
        if self.response.status != 101:
            raise HandshakeError(self.response)
        got = self.response.headers
        if got.get("upgrade", "").lower() != "websocket":
            raise ProtocolError(f"Upgrade: {got.get('upgrade')!r}")
        if "upgrade" not in got.get("connection", "").lower():
            raise ProtocolError(f"Connection: {got.get('connection')!r}")
        if got.get("sec-websocket-accept") != accept_key(lines["Sec-WebSocket-Key"]):
            raise ProtocolError("Sec-WebSocket-Accept does not belong to the key")
        if "sec-websocket-extensions" in got:
            raise ProtocolError("an extension that nobody offered")
        self.protocol = got.get("sec-websocket-protocol")
        if self.protocol is not None and self.protocol not in (protocols or []):
            raise ProtocolError(f"subprotocol {self.protocol!r} was not offered")

    def recv_response(self, timeout=DEFAULT_TIMEOUT):
        """Read one HTTP response head, and its body unless it is a 101."""
        deadline = time.monotonic() + timeout
        while b"\r\n\r\n" not in self._buffer:
            if not self._fill(deadline):
                raise ConnectionError(f"closed within the response: {bytes(self._buffer)!r}")
        head, _, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        self._buffer = bytearray(rest)
        status_line, *lines = head.decode("latin-1").split("\r\n")
        _, status, *reason = status_line.split(" ", 2)
        response = Response(int(status), reason[0] if reason else "")
        for line in lines:
            name, _, value = line.partition(":")
            response.headers[name.strip().lower()] = value.strip()
        if response.status != 101:
            size = int(response.headers.get("content-length", -1))
            while (size < 0 or len(self._buffer) < size) and self._fill(deadline):
                pass
            size = len(self._buffer) if size < 0 else size
            response.body = bytes(self._buffer[:size])
            del self._buffer[:size]
        return response

    # Sending

    def send_bytes(self, data):
        self.sock.sendall(data)

    def send_text(self, text):
        self.send_frame(True, TEXT, text.encode() if isinstance(text, str) else text)

    def send_binary(self, data):
        self.send_frame(True, BINARY, data)

    def send_ping(self, payload=b""):
        self.send_frame(True, PING, payload)

    def send_frame(self, fin, opcode, payload=b"", mask=True, rsv=0, length_bytes=None):
        self.send_bytes(build_frame(opcode, payload, fin, rsv, mask, length_bytes))

    def send_close(self, code=1000, reason=""):
        payload = b"" if code is None else struct.pack(">H", code) + reason.encode()
        self.send_frame(True, CLOSE, payload)

    # Receiving

    def recv(self, timeout=DEFAULT_TIMEOUT):
        """The next message as (opcode, payload): TEXT or BINARY, put together from its fragments,
        PONG, or PING when answers_pings is off.  At the end a Close.  TimeoutError."""
        deadline = time.monotonic() + timeout
        while True:
            frame = self._recv_frame_until(deadline)
            if isinstance(frame, Close):
                return frame
            if frame.opcode == PING and self.answers_pings:
                self.send_frame(True, PONG, frame.payload)
                continue
            if frame.opcode in (PING, PONG):
                return frame.opcode, frame.payload
            if frame.opcode == CLOSE:
                self.close_received = parse_close(frame.payload)
                return self.close_received
            message = self._join(frame)
            if message is not None:
                return message

    def recv_frame(self, timeout=DEFAULT_TIMEOUT):
        """The next single Frame, control frames too, or Close(1006) at the end of the stream."""
        return self._recv_frame_until(time.monotonic() + timeout)

    def recv_bytes(self, size, timeout=DEFAULT_TIMEOUT):
        """Up to `size` bytes, fewer only at the end of the stream."""
        deadline = time.monotonic() + timeout
        while len(self._buffer) < size and self._fill(deadline):
            pass
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def wait_eof(self, timeout=DEFAULT_TIMEOUT):
        """Read and drop until the server closes the TCP connection.  TimeoutError."""
        deadline = time.monotonic() + timeout
        while self._fill(deadline):
            self._buffer.clear()

    def close(self, code=1000, reason="", timeout=2.0):
        """The closing handshake, as far as the peer plays along; then the socket is gone."""
        try:
            if self.close_received is None and not self._is_eof:
                self.send_close(code, reason)
                deadline = time.monotonic() + timeout
                while not isinstance(self.recv(deadline - time.monotonic()), Close):
                    pass
            elif self.close_received is not None:
                code = self.close_received.code
                self.send_close(None if code == 1005 else code)
        except (OSError, ProtocolError):
            pass  # TimeoutError and a reset are ends like any other
        self.abort()

    def abort(self):
        """Close the socket without a word."""
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # Inside

    def _fill(self, deadline):
        """Read some bytes; False at the end of the stream."""
        if self._is_eof:
            return False
        wait = deadline - time.monotonic()
        has_decrypted = isinstance(self.sock, ssl.SSLSocket) and self.sock.pending()
        if not has_decrypted and (wait <= 0 or not select.select([self.sock], [], [], wait)[0]):
            raise TimeoutError("nothing came in time")
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            data = b""
        self._is_eof = not data
        self._buffer += data
        return bool(data)

    def _recv_frame_until(self, deadline):
        while True:
            frame, size = parse_frame(self._buffer)
            if frame is not None:
                del self._buffer[:size]
                return frame
            if not self._fill(deadline):
                if self._buffer:
                    raise ProtocolError(f"the stream ended within a frame: {self._buffer[:40]!r}")
                return self.close_received or Close(1006)

    def _join(self, frame):
        if frame.opcode == CONTINUATION:
            if self._fragment_opcode is None:
                raise ProtocolError("continuation of nothing")
        elif self._fragment_opcode is not None:
            raise ProtocolError("a new message within a fragmented one")
        else:
            self._fragment_opcode = frame.opcode
        self._fragments.append(frame.payload)
        if not frame.fin:
            return None
        message = (self._fragment_opcode, b"".join(self._fragments))
        self._fragments, self._fragment_opcode = [], None
        if message[0] == TEXT:
            try:
                message[1].decode()
            except UnicodeDecodeError as error:
                raise ProtocolError(f"text that is no UTF-8: {error}") from None
        return message


def parse_frame(data):
    """(Frame, bytes used), or (None, 0) while it is incomplete.  Checks what a server may send."""
    if len(data) < 2:
        return None, 0
    fin, rsv, opcode = bool(data[0] & 0x80), data[0] >> 4 & 7, data[0] & 15
    size, head = data[1] & 0x7F, 2
    if data[1] & 0x80:
        raise ProtocolError("a server must not mask")
    if rsv or opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
        raise ProtocolError(f"rsv={rsv} opcode={opcode}")
    if opcode >= CLOSE and (not fin or size > 125):
        raise ProtocolError(f"control frame with fin={fin} length={size}")
    if size >= 126:
        width = 2 if size == 126 else 8
        if len(data) < 2 + width:
            return None, 0
        size, head = int.from_bytes(data[2:2 + width], "big"), 2 + width
        if size < (126 if width == 2 else 65536):
            raise ProtocolError("length not in its shortest form")
    if len(data) < head + size:
        return None, 0
    return Frame(fin, rsv, opcode, bytes(data[head:head + size])), head + size


def parse_close(payload):
    if not payload:
        return Close(1005)
    if len(payload) == 1:
        raise ProtocolError("a close frame with one byte")
    code = int.from_bytes(payload[:2], "big")
    if code < 1000 or code in (1004, 1005, 1006, 1015) or 1016 <= code < 3000 or code > 4999:
        raise ProtocolError(f"close code {code} must not be sent")
    try:
        return Close(code, payload[2:].decode())
    except UnicodeDecodeError:
        raise ProtocolError("a close reason that is no UTF-8") from None
