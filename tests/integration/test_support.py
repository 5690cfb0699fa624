"""The harness itself, against a loopback server of its own: a tool that lies makes tests that lie."""

import base64
import os
import socket
import threading
import time

import pytest

from support import tokens
from support.client import Disconnected, JsonClient, MsgpackClient, ReplyError
from support.hub import Hub, merge
from support.ws import (BINARY, PING, PONG, TEXT, Close, HandshakeError, ProtocolError, WebSocket,
                        accept_key, build_frame, mask_bytes, parse_close, parse_frame)


class Peer:
    """Accepts one connection on loopback and runs `script(peer)` in a thread."""

    def __init__(self, script, status="101 Switching Protocols", accept=None, extra=""):
        self.script, self.status, self.accept, self.extra = script, status, accept, extra
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self.listener.getsockname()[1]}/x?y=1"
        self.request = ""
        self.failure = None
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        self.sock, _ = self.listener.accept()
        self.sock.settimeout(5)
        try:
            while "\r\n\r\n" not in self.request:
                self.request += self.sock.recv(4096).decode()
            key = self.request.split("Sec-WebSocket-Key: ")[1].split("\r\n")[0]
            self.sock.sendall((f"HTTP/1.1 {self.status}\r\nUpgrade: websocket\r\n"
                               "Connection: Upgrade\r\n"
                               f"Sec-WebSocket-Accept: {self.accept or accept_key(key)}\r\n"
                               f"{self.extra}\r\n").encode())
            self.script(self)
        except Exception as failure:  # shown by the test that joins
            self.failure = failure
        finally:
            self.sock.close()

    def send(self, opcode, payload=b"", **options):
        self.sock.sendall(build_frame(opcode, payload, mask=False, **options))

    def recv(self):
        """(opcode, unmasked payload) of one short client frame."""
        head = self.sock.recv(2, socket.MSG_WAITALL)
        assert head[1] & 0x80, "a client must mask"
        size = head[1] & 0x7F
        if size == 126:
            size = int.from_bytes(self.sock.recv(2, socket.MSG_WAITALL), "big")
        mask = self.sock.recv(4, socket.MSG_WAITALL)
        payload = self.sock.recv(size, socket.MSG_WAITALL) if size else b""
        return head[0] & 15, mask_bytes(payload, mask)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.thread.join(5)
        self.listener.close()
        assert self.failure is None, repr(self.failure)


def echo(peer):
    while True:
        opcode, payload = peer.recv()
        peer.send(opcode, payload)
        if opcode == 8:
            return


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 200000])
def test_frames_survive_the_round_trip(size):
    payload = os.urandom(size)
    frame = build_frame(BINARY, payload, mask=False)
    parsed, used = parse_frame(frame + b"more")
    assert (parsed.fin, parsed.opcode, parsed.payload, used) == (True, BINARY, payload, len(frame))
    assert parse_frame(frame[:-1]) == (None, 0)
    masked = build_frame(BINARY, payload, mask=b"abcd")
    assert mask_bytes(masked[len(masked) - size:], b"abcd") == payload


def test_accept_key_is_that_of_the_rfc():
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_messages_are_echoed_and_the_close_is_shaken():
    with Peer(echo) as peer, WebSocket.connect(peer.url) as ws:
        assert "GET /x?y=1 HTTP/1.1" in peer.request
        ws.send_text("hé")
        assert ws.recv() == (TEXT, "hé".encode())
        ws.send_binary(b"\x00" * 300)
        assert ws.recv() == (BINARY, b"\x00" * 300)
        ws.send_close(3001, "bye")
        assert ws.recv() == Close(3001, "bye")


def test_fragments_are_joined_around_control_frames():
    def script(peer):
        peer.send(TEXT, b"a", fin=False)
        peer.send(PING, b"p")
        assert peer.recv() == (PONG, b"p")
        peer.send(0, b"b")

    with Peer(script) as peer:
        ws = WebSocket.connect(peer.url)
        assert ws.recv() == (TEXT, b"ab")
        assert ws.recv() == Close(1006)


@pytest.mark.parametrize("damage", [
    build_frame(TEXT, b"x", mask=b"abcd"),
    build_frame(TEXT, b"x", rsv=4, mask=False),
    build_frame(3, b"x", mask=False),
    build_frame(PING, b"x", fin=False, mask=False),
    build_frame(TEXT, b"\xff", mask=False),
    build_frame(TEXT, b"x", length_bytes=2, mask=False),
    build_frame(0, b"x", mask=False),
    build_frame(TEXT, b"x", fin=False, mask=False) + build_frame(TEXT, b"y", mask=False),
    build_frame(8, b"x", mask=False),
    build_frame(8, b"\x03\xedx", mask=False),
    build_frame(TEXT, b"xyz", mask=False)[:-1],
])
def test_a_server_that_breaks_the_rfc_is_caught(damage):
    with Peer(lambda peer: peer.sock.sendall(damage)) as peer:
        ws = WebSocket.connect(peer.url)
        with pytest.raises(ProtocolError):
            ws.recv()


def test_a_wrong_accept_key_is_caught():
    with Peer(lambda peer: None, accept="bm8=") as peer, pytest.raises(ProtocolError):
        WebSocket.connect(peer.url)


def test_a_refused_upgrade_gives_status_and_body():
    refusal = Peer(lambda peer: peer.sock.sendall(b"no"), status="403 Forbidden",
                   extra="Content-Length: 2\r\n")
    with refusal as peer, pytest.raises(HandshakeError) as caught:
        WebSocket.connect(peer.url)
    assert (caught.value.status, caught.value.response.body) == (403, b"no")


def test_recv_gives_up_in_time():
    done = threading.Event()
    with Peer(lambda peer: done.wait(5)) as peer:
        ws = WebSocket.connect(peer.url)
        begin = time.monotonic()
        with pytest.raises(TimeoutError):
            ws.recv(timeout=0.1)
        done.set()
    assert time.monotonic() - begin < 2


def test_close_codes_are_parsed():
    assert parse_close(b"") == Close(1005)
    assert parse_close(b"\x0b\xb9shutdown") == Close(3001, "shutdown")


@pytest.mark.parametrize("kind", [JsonClient, MsgpackClient])
def test_clients_sort_replies_pushes_and_pings(kind):
    def script(peer):
        def answer(*messages):
            peer.send(kind.opcode, kind.encode(messages))

        assert kind.decode(peer.recv()[1]) == [{"id": 1, "connect": {"token": "t"}}]
        answer({"id": 1, "connect": {"client": "c"}}, {})
        assert kind.decode(peer.recv()[1]) == [{}]  # the pong
        peer.recv()
        answer({"push": {"channel": "a", "pub": {"data": 1}}},
               {"id": 2, "error": {"code": 103, "message": "permission denied"}})
        peer.recv()
        peer.send(8, b"\x0d\xadbad request")

    with Peer(script) as peer:
        with kind.open(peer.url, protocols=None) as client:
            assert client.connect(token="t") == {"client": "c"}
            assert client.pings == 1
            with pytest.raises(ReplyError) as error:
                client.subscribe("a")
            assert (error.value.code, error.value.temporary) == (103, False)
            assert client.next_publication("a") == {"data": 1}
            with pytest.raises(Disconnected) as end:
                client.publish("a", {})
            assert (end.value.code, end.value.reason) == (3501, "bad request")


def test_tokens_are_those_of_rfc_7515_appendix_a():
    key = base64.urlsafe_b64decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3"
                                   "Yj0iPS4hcgUuTwjAzZr1Z9CAow==")
    signed = (b"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkz"
              b"ODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ")
    assert tokens.base64url(tokens.sign(signed, key, "HS256")) == \
        "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"


def test_redis_hangs_dies_and_comes_back_on_the_same_port(redis):
    port = redis.port
    assert redis.cli("PING") == b"PONG\n"
    assert redis.publish("a", b"\x00\xff\n") == 0
    redis.stop()
    with socket.create_connection(("127.0.0.1", port), 1) as sock:
        sock.sendall(b"PING\r\n")
        sock.settimeout(0.1)
        with pytest.raises(TimeoutError):
            sock.recv(10)
    redis.cont()
    redis.cli("SET", "k", "v")
    redis.restart()
    assert redis.port == port
    assert redis.cli("GET", "k") == b"\n"


FAKE_HUB = """#!/bin/sh
echo '{"event":"worker_started","pid":'$$'}'
echo '{"event":"listening","port":1}'
%s
"""


@pytest.fixture
def fake_hub(tmp_path, monkeypatch):
    """fake_hub(script) makes Hub run a shell script instead."""
    def install(script):
        path = tmp_path / "fake"
        path.write_text(FAKE_HUB % script)
        path.chmod(0o755)
        monkeypatch.setenv("WIREHUB_BIN", str(path))
    return install


@pytest.mark.parametrize("script, complaint", [
    ("exit 3", "ended with 3"),
    ("echo '==1==ERROR: AddressSanitizer: heap-use-after-free' >&2", "a sanitizer spoke"),
    ("grep hmac_secret_key \"$3\"", "a secret shows"),
])
def test_a_hub_that_misbehaves_fails_the_test(fake_hub, script, complaint):
    fake_hub(script)
    hub = Hub()
    assert hub.port == 1
    hub.wait_exit()
    with pytest.raises(AssertionError, match=complaint):
        hub.close()


def test_a_hub_that_behaves_passes(fake_hub):
    fake_hub("""trap 'echo "{\\"event\\":\\"bye\\"}"; exit 0' TERM
echo '{"event":"trapping"}'
while :; do sleep 0.05; done""")
    with Hub() as hub:
        assert hub.worker_pids == [hub.process.pid]
        hub.wait_log("trapping")
        hub.terminate()
        assert hub.wait_log("bye") == {"event": "bye"}


def test_an_event_that_never_comes_is_given_up(fake_hub):
    fake_hub("exit 0")
    with Hub() as hub, pytest.raises(TimeoutError, match="no .*listening"):
        hub.wait_log("listening", port=2, timeout=0.5)


def test_configs_are_merged_deeply():
    assert merge({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"c": 3}, "d": [2]}) == \
        {"a": {"b": 1, "c": 3}, "d": [2]}
