"""Each fault, seen by a plain socket: a proxy that does not do what it says proves nothing."""

import contextlib
import select
import socket
import ssl
import threading
import time

import pytest

from support.fault_proxy import CloseDoubler, ConnectProxy, FaultProxy
from support.tls import Authority
from support.ws import TEXT, build_frame

MUCH = b"x" * (32 << 20)  # more than all buffers on the way


class EchoServer:
    """Gives back what comes; a line "much" gets MUCH, "bye" a close frame and the end."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.ended = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=self.listener.accept()[:1],
                                 daemon=True).start()

    def _serve(self, sock):
        try:
            with sock:
                while data := sock.recv(65536):
                    sock.sendall(MUCH if data == b"much" else data)
            self.ended.append("fin")
        except ConnectionError:
            self.ended.append("rst")

    def wait_ended(self):
        deadline = time.monotonic() + 5
        while not self.ended and time.monotonic() < deadline:
            time.sleep(0.01)  # between polls of a bounded wait
        return self.ended

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


@pytest.fixture
def echo():
    with EchoServer() as server:
        yield server


@pytest.fixture
def proxy(echo):
    with FaultProxy(echo.port) as one:
        yield one


def dial(port):
    sock = socket.create_connection(("127.0.0.1", port), 5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def ask(sock, data):
    sock.sendall(data)
    return read(sock, len(data))


def read(sock, size):
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        assert part, f"the end after {data!r}"
        data += part
    return data


def is_silent(sock, seconds=0.1):
    return not select.select([sock], [], [], seconds)[0]


def test_without_faults_it_is_not_there(proxy, echo):
    with dial(proxy.port) as sock:
        assert ask(sock, b"hello") == b"hello"
        proxy.wait(lambda one: one.bytes == {"up": 5, "down": 5})
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""
    assert echo.wait_ended() == ["fin"]
    proxy.wait_open(0)


@pytest.mark.parametrize("how", ["rst", "fin"])
def test_a_cut_ends_both_sides_as_asked(proxy, echo, how):
    with dial(proxy.port) as sock:
        ask(sock, b"x")
        assert proxy.cut(how) == 1
        if how == "rst":
            with pytest.raises(ConnectionResetError):
                sock.recv(1)
        else:
            assert sock.recv(1) == b""
        assert echo.wait_ended() == [how]
        proxy.wait_open(0)


def test_it_can_be_cut_in_the_middle_of_a_message(proxy):
    with dial(proxy.port) as sock:
        proxy.set(down={"cut_after": 3})
        sock.sendall(b"hello")
        data = b""
        with pytest.raises(ConnectionResetError):
            while part := sock.recv(10):
                data += part
        # A reset may overtake bytes on their way.
        assert data in (b"", b"hel")
    with dial(proxy.port) as sock:
        assert ask(sock, b"hello") == b"hello"


def test_refused_connections_fail_at_once_and_open_ones_stay(proxy):
    with dial(proxy.port) as sock:
        ask(sock, b"x")
        proxy.refuse()
        for _ in range(3):
            with pytest.raises(ConnectionRefusedError):
                dial(proxy.port)
        assert ask(sock, b"still") == b"still"
    proxy.heal()
    with dial(proxy.port) as sock:
        assert ask(sock, b"again") == b"again"


def test_what_is_stalled_stays_open_and_goes_on_when_healed(proxy, echo):
    with dial(proxy.port) as sock:
        ask(sock, b"x")
        proxy.stall()
        sock.sendall(b"hello")
        assert is_silent(sock)
        assert not echo.ended
        proxy.heal()
        assert read(sock, 5) == b"hello"


def test_a_stall_pushes_back_on_who_sends(proxy):
    with dial(proxy.port) as sock:
        ask(sock, b"x")
        proxy.set(up={"stalled": True})
        sock.setblocking(False)
        sent = 0
        with pytest.raises(BlockingIOError):
            while sent < len(MUCH):
                select.select([], [sock], [], 0.2)
                sent += sock.send(MUCH[sent:])
        proxy.wait(lambda one: one.bytes["up"] < sent)
        assert sent < len(MUCH)


def test_a_stall_downwards_keeps_what_the_server_sends(proxy):
    with dial(proxy.port) as sock:
        ask(sock, b"x")
        proxy.set(down={"stalled": True})
        sock.sendall(b"much")
        assert is_silent(sock)
        proxy.heal()
        assert read(sock, len(MUCH)) == MUCH


def test_a_connection_that_comes_during_a_stall_is_accepted_and_silent(proxy):
    proxy.stall()
    with dial(proxy.port) as sock:
        sock.sendall(b"hello")
        proxy.wait_accepted(1)
        assert is_silent(sock)
        proxy.heal()
        assert read(sock, 5) == b"hello"


def test_split_sends_each_byte_alone(proxy):
    with dial(proxy.port) as sock:
        ask(sock, b"x")
        proxy.set(down={"split": 1}, up={"split": 1})
        assert ask(sock, b"0123456789" * 10) == b"0123456789" * 10
        assert proxy.writes == {"up": 101, "down": 101}


def test_delay_and_rate_take_their_time(proxy):
    with dial(proxy.port) as sock:
        ask(sock, b"x")
        proxy.set(down={"delay": 0.3})
        begin = time.monotonic()
        assert ask(sock, b"y") == b"y"
        assert time.monotonic() - begin >= 0.29
        proxy.heal()
        proxy.set(down={"rate": 20})
        begin = time.monotonic()
        assert ask(sock, b"12345") == b"12345"
        assert time.monotonic() - begin >= 0.19


def test_healing_ends_a_drip_at_once(proxy):
    with dial(proxy.port) as sock:
        ask(sock, b"x")
        proxy.set(down={"rate": 1})
        sock.sendall(b"0" * 1000)
        assert read(sock, 1) == b"0"
        proxy.heal()
        assert read(sock, 999) == b"0" * 999


def test_a_close_frame_comes_twice(proxy):
    head = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
    text = build_frame(TEXT, b"\x88\x02\x03\xe8 is no frame", mask=False)
    close = build_frame(8, b"\x0b\xb9shutdown", mask=False)
    proxy.set(down={"doubled_close": True})
    with dial(proxy.port) as sock:
        assert ask(sock, head + text) == head + text
        sock.sendall(close)
        assert read(sock, 2 * len(close)) == close + close


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_frames_are_followed_however_they_arrive(size):
    close = build_frame(8, b"\x0b\xb9x", mask=False)
    stream = (b"HTTP/1.1 101 X\r\nA: b\r\n\r\n" + build_frame(TEXT, b"a" * 70000, mask=False)
              + build_frame(TEXT, b"b" * 300, mask=False) + close)
    doubler, out = CloseDoubler(), b""
    for at in range(0, len(stream), size):
        out += doubler.pass_on(stream[at:at + size], True)
    assert out == stream + close


def test_a_server_that_is_not_there_resets_the_client(proxy, echo):
    echo.listener.close()
    with socket.create_server(("127.0.0.1", 0)) as gone:
        proxy.target_port = gone.getsockname()[1]
    with pytest.raises(ConnectionResetError):  # as early as in the dialling
        with dial(proxy.port) as sock:
            sock.recv(1)


@pytest.fixture(scope="module")
def authority():
    with Authority() as one:
        yield one


def test_tls_ends_at_the_proxy_and_faults_hold_inside(authority, echo):
    pair = authority.issue("localhost", "127.0.0.1")
    with FaultProxy(echo.port, tls=pair.server_context()) as proxy:
        trusting = ssl.create_default_context(cafile=authority.path)
        for name in ("localhost", "127.0.0.1"):
            with trusting.wrap_socket(dial(proxy.port), server_hostname=name) as sock:
                assert ask(sock, b"hello") == b"hello"
        with trusting.wrap_socket(dial(proxy.port), server_hostname="localhost") as sock:
            ask(sock, b"x")
            proxy.stall()
            sock.sendall(b"later")
            assert is_silent(sock)
            proxy.heal()
            assert read(sock, 5) == b"later"
            proxy.cut("rst")
            with socket.socket(fileno=sock.detach()) as bare, pytest.raises(ConnectionResetError):
                bare.recv(1)


@pytest.mark.parametrize("flaw, name, complaint", [
    ({"names": ["localhost"], "days": -1}, "localhost", "certificate has expired"),
    ({"names": ["other.example"]}, "localhost", "Hostname mismatch"),
    ({"names": ["localhost"], "usage": "clientAuth"}, "localhost", "unsuitable|unsupported"),
])
def test_certificates_with_a_flaw_are_refused_for_it(authority, echo, flaw, name, complaint):
    pair = authority.issue(*flaw.pop("names"), **flaw)
    trusting = ssl.create_default_context(cafile=authority.path)
    with FaultProxy(echo.port, tls=pair.server_context()) as proxy, dial(proxy.port) as sock:
        with pytest.raises(ssl.SSLCertVerificationError, match=complaint):
            trusting.wrap_socket(sock, server_hostname=name)


def test_an_authority_of_somebody_else_is_not_trusted(authority, echo):
    pair = authority.issue("localhost")
    with Authority() as other, FaultProxy(echo.port, tls=pair.server_context()) as proxy:
        trusting = ssl.create_default_context(cafile=other.path)
        with dial(proxy.port) as sock, pytest.raises(ssl.SSLCertVerificationError, match="verify"):
            trusting.wrap_socket(sock, server_hostname="localhost")


def test_a_client_without_a_certificate_is_refused_where_one_is_asked_for(authority, echo):
    pair, mine = authority.issue("localhost"), authority.issue("client")
    context = pair.server_context(client_authority=authority)
    with FaultProxy(echo.port, tls=context) as proxy:
        trusting = ssl.create_default_context(cafile=authority.path)
        # In TLS 1.3 the client has finished when the server finds that nothing was shown.
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            with trusting.wrap_socket(dial(proxy.port), server_hostname="localhost") as sock:
                ask(sock, b"x")
        assert proxy.accepted == 0
        trusting.load_cert_chain(mine.path, mine.key_path)
        with trusting.wrap_socket(dial(proxy.port), server_hostname="localhost") as sock:
            assert ask(sock, b"x") == b"x"


def connect(proxy, target, extra=""):
    sock = dial(proxy.port)
    sock.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{extra}\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        part = sock.recv(1)
        assert part, head
        head += part
    return sock, int(head.split()[1])


def test_an_http_proxy_tunnels_to_the_target_that_it_is_told(echo):
    with ConnectProxy() as proxy:
        sock, status = connect(proxy, f"127.0.0.1:{echo.port}")
        with sock:
            assert status == 200
            assert ask(sock, b"hello") == b"hello"
            assert proxy.targets == [f"127.0.0.1:{echo.port}"]
            proxy.cut()
            with pytest.raises(ConnectionResetError):
                sock.recv(1)


def test_an_http_proxy_wants_its_credentials(echo):
    with ConnectProxy(credentials="ann:secret") as proxy:
        sock, status = connect(proxy, f"127.0.0.1:{echo.port}")
        with sock:
            assert status == 407
        sock, status = connect(proxy, f"127.0.0.1:{echo.port}",
                               "Proxy-Authorization: Basic YW5uOnNlY3JldA==\r\n")
        with sock:
            assert (status, ask(sock, b"x")) == (200, b"x")


def test_an_http_proxy_can_refuse(echo):
    with ConnectProxy(status=403) as proxy:
        sock, status = connect(proxy, f"127.0.0.1:{echo.port}")
        with sock:
            assert (status, sock.recv(1)) == (403, b"")
