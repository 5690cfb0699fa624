"""Peers that do everything the grammar allows and nothing that is fair.

Every test ends with the same question: does a healthy client still get served promptly?
"""

import contextlib
import os
import resource
import socket
import struct
import time

import pytest

from support.client import JsonClient, ReplyError
from support.hub import binary_path
from support.ws import TEXT, Close, WebSocket, build_frame

PROMPTLY = 3.0  # seconds; generous to a sanitized build on a busy machine
HANDSHAKE_SECONDS = 10.0
SLACK = 4.0


def assert_serves(hub, within=PROMPTLY):
    started = time.monotonic()
    with JsonClient.open(hub.ws_url, timeout=within) as client:
        client.connect(token=hub.token("healthy"), timeout=within)
        client.subscribe("health", timeout=within)
        client.publish("health", "ok", timeout=within)
        assert client.next_publication("health", timeout=within)["data"] == "ok"
    assert time.monotonic() - started < within


def serving_pid(hub):
    """The process that holds the connections of a hub with one worker."""
    return hub.wait_log("worker_started")["pid"]


def open_files(hub):
    return len(os.listdir(f"/proc/{serving_pid(hub)}/fd"))


def wait_until(condition, timeout, what):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)  # between polls of a bounded wait


def wait_files(hub, count):
    """Until the hub holds no more than `count` descriptors."""
    deadline = time.monotonic() + PROMPTLY
    while (held := open_files(hub)) > count:
        assert time.monotonic() < deadline, f"{held} descriptors are held, {count} before"
        time.sleep(0.02)  # between polls of a bounded wait


def reset(sock):
    """Close with RST, as a dying machine or an attacker does."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.fixture
def memory_hub(make_hub):
    return make_hub()


# Those who never get to the point


def test_connection_without_connect_is_closed_as_stale(make_hub):
    hub = make_hub({"client": {"stale_close_delay": "500ms"}})
    with WebSocket.connect(hub.ws_url) as silent:
        close = silent.recv(PROMPTLY)
        assert close == Close(3502, "stale")
        silent.wait_eof(5 + SLACK)
    assert_serves(hub)


def test_native_pings_do_not_keep_a_stale_connection(make_hub):
    hub = make_hub({"client": {"stale_close_delay": "500ms"}})
    with WebSocket.connect(hub.ws_url) as pinging:
        deadline = time.monotonic() + PROMPTLY
        message = None
        while not isinstance(message, Close) and time.monotonic() < deadline:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                pinging.send_ping(b"still here")
            with contextlib.suppress(TimeoutError):
                message = pinging.recv(0.1)
        assert message == Close(3502, "stale")
    assert_serves(hub)


def test_connected_session_is_not_stale(make_hub):
    hub = make_hub({"client": {"stale_close_delay": "500ms"}})
    with JsonClient.open(hub.ws_url) as client, WebSocket.connect(hub.ws_url) as witness:
        client.connect()
        assert witness.recv(PROMPTLY) == Close(3502, "stale")
        client.subscribe("here")


def test_unfinished_handshake_is_gone_in_time(memory_hub):
    """Silent, stopped half way, and dripping a header for ever: none may hold a descriptor."""
    hub = memory_hub
    before = open_files(hub)
    head = f"GET /connection/websocket HTTP/1.1\r\nHost: 127.0.0.1:{hub.port}\r\n".encode()
    started = time.monotonic()
    peers = [WebSocket.connect(hub.ws_url, raw=True) for _ in range(4)]
    peers[1].send_bytes(b"G")
    peers[2].send_bytes(head + b"Upgrade: websocket\r\n")
    peers[3].send_bytes(head + b"X-Drip: ")
    open_peers = set(peers)
    while open_peers:
        assert time.monotonic() - started < HANDSHAKE_SECONDS + SLACK, \
            f"still open: {[peers.index(peer) for peer in open_peers]}"
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            peers[3].send_bytes(b"x")
        for peer in list(open_peers):
            with contextlib.suppress(TimeoutError):
                peer.wait_eof(0.1)
                open_peers.discard(peer)
    wait_files(hub, before)
    assert_serves(hub)
    for peer in peers:
        peer.abort()


def test_peer_that_never_answers_the_close_is_gone_in_time(memory_hub):
    before = open_files(memory_hub)
    peers = [WebSocket.connect(memory_hub.ws_url) for _ in range(50)]
    for peer in peers:
        peer.send_bytes(build_frame(TEXT, b"rubbish"))
    wait_until(lambda: open_files(memory_hub) <= before, 5 + SLACK, "closed peers hold descriptors")
    for peer in peers:
        peer.abort()
    assert_serves(memory_hub)


# Those who ask too much at once


def test_1300_commands_in_one_frame_are_answered_in_order(memory_hub):
    commands = "\n".join('{"id":%d,"unsubscribe":{"channel":"x"}}' % (n + 2) for n in range(1300))
    assert len(commands) <= 65536
    with JsonClient.open(memory_hub.ws_url) as client:
        client.connect()
        client.ws.send_text(commands)
        client.wait_reply(1301, timeout=10)
        assert list(client.replies) == [n for n in range(2, 1302) if n != 1301]
    assert_serves(memory_hub)


def test_publication_storm_of_one_client_reaches_the_others_in_order(memory_hub):
    with JsonClient.open(memory_hub.ws_url) as author, JsonClient.open(memory_hub.ws_url) as reader:
        for client in (author, reader):
            client.connect(token=memory_hub.token("ann"))
            client.subscribe("storm")
        for first in range(0, 2000, 200):
            author.send_messages(*({"id": 10 + n, "publish": {"channel": "storm", "data": n}}
                                   for n in range(first, first + 200)))
        seen = [reader.next_publication("storm", timeout=10)["data"] for _ in range(2000)]
        assert seen == list(range(2000))
    assert_serves(memory_hub)


def test_subscriptions_past_the_limit_are_refused_one_by_one(memory_hub):
    with JsonClient.open(memory_hub.ws_url) as client:
        client.connect()
        ids = [client.start("subscribe", channel=f"c{n}") for n in range(300)]
        outcomes = []
        for number in ids:
            try:
                client.wait_reply(number)
                outcomes.append(0)
            except ReplyError as error:
                outcomes.append(error.code)
        assert outcomes == [0] * 128 + [106] * 172
    assert_serves(memory_hub)


def test_replies_that_nobody_reads_do_not_pile_up(memory_hub):
    """A peer that asks and never reads is held back or cut; either way it can send only so much."""
    peer = WebSocket.connect(memory_hub.ws_url)
    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer.send_text('{"id":1,"connect":{}}')
    line = '{"id":4000000000,"unsubscribe":{"channel":"x"}}'
    frame = build_frame(TEXT, "\n".join([line] * 1300).encode())
    peer.sock.settimeout(2.0)
    sent = 0
    with contextlib.suppress(TimeoutError, BrokenPipeError, ConnectionResetError):
        while sent < 256 << 20:
            peer.send_bytes(frame)
            sent += len(frame)
    assert sent < 256 << 20, "the hub took everything from a peer that reads nothing"
    reset(peer.sock)
    assert_serves(memory_hub)


@pytest.mark.parametrize("text", [
    pytest.param("[" * 10000, id="open_arrays"),
    pytest.param('{"id":2,"x":' * 5000, id="open_objects"),
    pytest.param('{"id":2,"pad":' + "[" * 10000 + "]" * 10000 + "}", id="deep_unknown_key"),
    pytest.param('{"' + "k" * 60000, id="long_key_cut"),
    pytest.param('{"id":2,"unsubscribe":{"channel":"x"}', id="object_cut"),
    pytest.param('{"id":1e309,"unsubscribe":{"channel":"x"}}', id="huge_number"),
    pytest.param('{"id":-2,"unsubscribe":{"channel":"x"}}', id="negative_id"),
    pytest.param('{"id":4294967296,"unsubscribe":{"channel":"x"}}', id="id_past_32_bits"),
    pytest.param('{"id":"2","unsubscribe":{"channel":"x"}}', id="id_as_string"),
    pytest.param('{"id":2.5,"unsubscribe":{"channel":"x"}}', id="fractional_id"),
    pytest.param('{"id":2,"unsubscribe":NaN}', id="nan"),
    pytest.param('{"id":2,"unsubscribe":[]}', id="array_for_an_object"),
    pytest.param('{"id":2}', id="no_request"),
    pytest.param('{"id":2,"nosuch":{}}', id="unknown_request"),
    pytest.param('{"id":2,"unsubscribe":{"channel":"x"}}\n\n{"id":3}', id="blank_line"),
    pytest.param('{"id":2,"unsubscribe":{"channel":"x"}} x', id="trailing_text"),
    pytest.param('{"id":2,"unsubscribe":{"channel":"a\x00b"}}', id="raw_nul"),
])
def test_malformed_command_closes_as_bad_request(memory_hub, text):
    with JsonClient.open(memory_hub.ws_url) as client:
        client.connect()
        client.ws.send_text(text)
        assert client.wait_close(PROMPTLY).code == 3501
    assert_serves(memory_hub)


# Those who come in crowds


def flood(hub, count):
    """`count` connections, most of them connected and subscribed, some half way."""
    socks = []
    for number in range(count):
        ws = WebSocket.connect(hub.ws_url, raw=number % 10 == 0)
        if number % 10:
            ws.send_text('{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"crowd"}}')
        socks.append(ws.sock)
    return socks


def test_crowd_that_is_reset_at_once_gives_all_descriptors_back(memory_hub):
    before = open_files(memory_hub)
    for _ in range(2):
        socks = flood(memory_hub, 500)
        assert_serves(memory_hub)
        for sock in socks:
            reset(sock)
        wait_files(memory_hub, before)
        assert_serves(memory_hub)


def test_crowd_that_says_nothing_before_it_is_reset_leaves_nothing(memory_hub):
    before = open_files(memory_hub)
    socks = [socket.create_connection(("127.0.0.1", memory_hub.port)) for _ in range(500)]
    for sock in socks:
        reset(sock)
    wait_files(memory_hub, before)
    assert_serves(memory_hub)


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_hub_out_of_descriptors_neither_dies_nor_spins(memory_hub):
    hub = memory_hub
    limit = open_files(hub) + 20
    for pid in {serving_pid(hub), hub.process.pid}:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, limit))
    socks = [socket.create_connection(("127.0.0.1", hub.port)) for _ in range(100)]
    before = cpu_seconds(serving_pid(hub))
    time.sleep(2.0)  # the span over which the CPU is measured
    used = cpu_seconds(serving_pid(hub)) - before
    for sock in socks:
        reset(sock)
    assert used < 1.0, f"{used:.1f} s of CPU in 2 s: the listener spins"
    wait_until(lambda: answers(hub), PROMPTLY, "the hub does not accept again")
    assert_serves(hub)


def answers(hub):
    try:
        return hub.http("/livez", timeout=1.0).status == 200
    except OSError:
        return False


# Those who do not listen


def test_slow_reader_is_cut_while_the_others_receive_everything(make_hub):
    hub = make_hub({"client": {"queue_max_size": 262144}})
    payload = "x" * 30000
    slow = WebSocket.connect(hub.ws_url)
    slow.send_text('{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"flow"}}')
    slow.recv_frame()  # subscribed; from here on it reads nothing
    with JsonClient.open(hub.ws_url) as author, JsonClient.open(hub.ws_url) as reader:
        for client in (author, reader):
            client.connect(token=hub.token("ann"))
            client.subscribe("flow")
        slow_mark = hub.log_mark()
        count = publish_until_cut(hub, author, reader, payload, slow_mark)
        assert count > 262144 / len(payload), "cut before its queue was full"
    assert slow_end(slow) in (3008, 1006)
    slow.abort()
    assert_serves(hub)


def publish_until_cut(hub, author, reader, payload, mark):
    """Publish and let `reader` check until the hub has logged that it cut someone as slow."""
    for number in range(2000):
        author.publish("flow", {"n": number, "pad": payload})
        assert reader.next_publication("flow")["data"]["n"] == number
        closed = [record for record in hub.records[mark:] if record.get("code") == 3008]
        if closed:
            return number + 1
    raise AssertionError("60 MB for a peer that reads nothing, and it was not cut")


def slow_end(slow):
    """The close code that the slow reader finds at the end, 1006 when the line is just dead."""
    message = None
    while not isinstance(message, Close):
        try:
            message = slow.recv(PROMPTLY)
        except AssertionError:  # cut within a frame
            return 1006
    return message.code


def test_memory_of_a_slow_reader_stays_bounded(make_hub):
    if is_sanitized():
        pytest.skip("the sanitizers' quarantine hides what the hub frees")
    hub = make_hub()
    before = resident_bytes(hub)
    peers = []
    for _ in range(10):
        peer = WebSocket.connect(hub.ws_url)
        peer.send_text('{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"flow"}}')
        peer.recv_frame()
        peers.append(peer)
    with JsonClient.open(hub.ws_url) as author:
        author.connect(token=hub.token("ann"))
        author.subscribe("flow")
        for _ in range(400):
            author.publish("flow", "x" * 30000)
            author.next_publication("flow")
    assert resident_bytes(hub) - before < 10 * (4 << 20)
    for peer in peers:
        peer.abort()


def resident_bytes(hub):
    with open(f"/proc/{serving_pid(hub)}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def is_sanitized():
    return b"__asan_init" in binary_path().read_bytes()
