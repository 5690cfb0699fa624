"""RFC 6455 from raw sockets: what the hub does with every legal and illegal thing a peer can send.

The payload of a frame is a real command wherever something has to be seen: its reply proves that
the message was taken, and its absence that nothing of a bad frame was acted upon.

Cases marked LWS are those that libwebsockets 4.1.6 decides before the hub sees anything; each is
named in docs/RFC6455.md. They are strict: the day one of them passes, the mark has to go.
"""

import base64
import json
import socket
import struct
import time

import pytest

from support.hub import Hub
from support.ws import (BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Close, WebSocket,
                        accept_key, build_frame)

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # the example of RFC 6455 §1.3
MESSAGE_SIZE_LIMIT = 65536
PROMPTLY = 3.0  # seconds; generous to a sanitized build on a busy machine
END_SECONDS = 5.0  # how long a peer may take to answer a close frame before TCP is cut
DROPPED = 1006  # the connection ended without a close frame


def LWS(reason):
    return pytest.mark.xfail(strict=True, reason=f"libwebsockets 4.1.6: {reason}")


UNMASKED = LWS("takes unmasked frames and shows no callback the mask bit")
UNKNOWN_ONLY = LWS("cannot be told to accept subprotocols of which it knows none")
DROPS = LWS("drops the connection without the close frame that §7.1.7 recommends")


@pytest.fixture(scope="module")
def shared_hub():
    with Hub() as hub:
        hub.wait_ready()
        yield hub


@pytest.fixture
def hub(shared_hub):
    """One hub for all cases; none of them may cost it a worker."""
    workers = shared_hub.worker_pids
    yield shared_hub
    assert shared_hub.process.poll() is None
    assert shared_hub.worker_pids == workers


@pytest.fixture
def ws(hub):
    """An upgraded connection that has sent nothing yet."""
    connection = WebSocket.connect(hub.ws_url)
    yield connection
    connection.abort()


@pytest.fixture
def session(ws):
    """A connection whose connect command has been answered."""
    ws.send_text('{"id":1,"connect":{}}')
    assert "connect" in read_replies(ws, 1)[0]
    return ws


def command(number, size=0):
    """A command that is always answered, filled up to `size` bytes with a key nobody knows."""
    text = '{"id":%d,"unsubscribe":{"channel":"x"}%%s}' % number
    bare = len(text) - 2
    if size == 0:
        return (text % "").encode()
    pad = "x" * (size - bare - len(',"pad":""'))
    filled = (text % f',"pad":"{pad}"').encode()
    assert len(filled) == size
    return filled


def read_replies(ws, count, timeout=5.0):
    """The next `count` replies; protocol pings in between are passed over."""
    replies = []
    deadline = time.monotonic() + timeout
    while len(replies) < count:
        message = ws.recv(deadline - time.monotonic())
        assert not isinstance(message, Close), f"closed instead of a reply: {message}"
        assert message[0] in (TEXT, BINARY), f"unexpected frame {message}"
        replies += [reply for reply in map(json.loads, message[1].splitlines()) if reply]
    assert len(replies) == count
    return replies


def expect_silence(ws, seconds=0.5):
    """Nothing more comes, whether or not TCP has ended already."""
    try:
        assert ws.recv_bytes(1, seconds) == b""
    except TimeoutError:
        pass


def expect_reply(ws, number):
    assert read_replies(ws, 1) == [{"id": number, "unsubscribe": {}}]


def expect_failure(ws, *codes):
    """The hub closes with one of `codes`, having acted on nothing."""
    message = ws.recv(PROMPTLY)
    assert isinstance(message, Close), f"not closed but answered: {message}"
    assert message.code in codes, message


# The opening handshake


def upgrade_headers(hub):
    return [("Host", f"127.0.0.1:{hub.port}"), ("Upgrade", "websocket"), ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", KEY), ("Sec-WebSocket-Version", "13")]


def request_text(headers, method="GET", target="/connection/websocket", version="HTTP/1.1"):
    lines = [f"{method} {target} {version}"] + [f"{name}: {value}" for name, value in headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def exchange(hub, request):
    """Send the bytes of a request; returns the connection and the response, None when the hub
    closed without one."""
    ws = WebSocket.connect(hub.ws_url, raw=True)
    try:
        ws.send_bytes(request)
        return ws, ws.recv_response(PROMPTLY)
    except (ConnectionError, BrokenPipeError):
        return ws, None


def expect_usable(ws, response, protocol=None):
    assert response is not None, "the hub closed without an answer"
    assert response.status == 101, response
    assert response.headers["upgrade"].lower() == "websocket"
    assert "upgrade" in response.headers["connection"].lower()
    assert response.headers.get("sec-websocket-protocol") == protocol
    assert "sec-websocket-extensions" not in response.headers
    if protocol in (None, "centrifuge-json"):
        ws.send_text('{"id":1,"connect":{}}')
        assert "connect" in read_replies(ws, 1)[0]
    ws.abort()


def edit(headers, edits):
    """`edits`: name → value replaces, None removes, a list gives several lines of that name."""
    result = []
    for name, value in headers:
        new = edits.get(name, value)
        for item in new if isinstance(new, list) else [new]:
            if item is not None:
                result.append((name, item))
    known = {name for name, _ in headers}
    for name, value in edits.items():
        if name not in known:
            result += [(name, item) for item in (value if isinstance(value, list) else [value])]
    return result


def test_accept_key_is_that_of_the_rfc(hub):
    ws, response = exchange(hub, request_text(upgrade_headers(hub)))
    assert response.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    expect_usable(ws, response)


def test_every_key_gets_its_own_accept(hub):
    for number in range(8):
        key = base64.b64encode(bytes([number * 31 % 256] * 16)).decode()
        ws, response = exchange(hub, request_text(edit(upgrade_headers(hub),
                                                       {"Sec-WebSocket-Key": key})))
        assert response.headers["sec-websocket-accept"] == accept_key(key)
        ws.abort()


@pytest.mark.parametrize("edits", [
    pytest.param({"Upgrade": "WebSocket"}, id="upgrade_in_mixed_case"),
    pytest.param({"Upgrade": "WEBSOCKET"}, id="upgrade_in_upper_case"),
    pytest.param({"Connection": "upgrade"}, id="connection_in_lower_case"),
    pytest.param({"Connection": "keep-alive, Upgrade"}, id="connection_list"),
    pytest.param({"Connection": "Upgrade,keep-alive"}, id="connection_list_without_blank"),
    pytest.param({"Connection": ["keep-alive", "Upgrade"]}, id="connection_on_two_lines"),
    pytest.param({"Sec-WebSocket-Version": " 13 "}, id="blanks_around_the_version"),
    pytest.param({"Sec-WebSocket-Key": f"{KEY}  "}, id="blanks_after_the_key"),
    pytest.param({"User-Agent": "x", "Cookie": "a=b; c=d", "Pragma": "no-cache"}, id="others"),
    pytest.param({"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"},
                 id="extension_declined"),
    pytest.param({"Sec-WebSocket-Extensions": "x-unknown; a=1, x-other"}, id="extension_unknown"),
])
def test_legal_handshake_is_accepted(hub, edits):
    expect_usable(*exchange(hub, request_text(edit(upgrade_headers(hub), edits))))


def test_header_names_are_compared_without_case(hub):
    for change in (str.lower, str.upper, str.swapcase):
        headers = [(change(name), value) for name, value in upgrade_headers(hub)]
        expect_usable(*exchange(hub, request_text(headers)))


def test_header_value_needs_no_blank_before_it(hub):
    request = request_text(upgrade_headers(hub)).replace(b": ", b":")
    expect_usable(*exchange(hub, request))


def test_query_is_ignored_where_it_says_nothing_to_us(hub):
    target = "/connection/websocket?cf_protocol_version=v2&x=%20y&&="
    expect_usable(*exchange(hub, request_text(upgrade_headers(hub), target=target)))


@pytest.mark.parametrize("offered, chosen", [
    pytest.param("", None, id="empty_header"),
    pytest.param("unknown", None, id="unknown_alone", marks=UNKNOWN_ONLY),
    pytest.param("unknown, other", None, id="unknown_ones", marks=UNKNOWN_ONLY),
    pytest.param("centrifuge-json", "centrifuge-json", id="json"),
    pytest.param("centrifuge-msgpack", "centrifuge-msgpack", id="msgpack"),
    pytest.param("unknown, centrifuge-json", "centrifuge-json", id="json_after_unknown"),
    pytest.param("centrifuge-msgpack, centrifuge-json", "centrifuge-msgpack", id="first_of_two"),
    pytest.param(["unknown", "centrifuge-json"], "centrifuge-json", id="on_two_lines"),
    pytest.param("centrifuge-jsonx, centrifuge-json", "centrifuge-json", id="whole_names"),
    pytest.param("Centrifuge-JSON, centrifuge-json", "centrifuge-json", id="names_have_case"),
])
def test_subprotocol_is_chosen_and_echoed_only_from_what_is_known(hub, offered, chosen):
    headers = edit(upgrade_headers(hub), {"Sec-WebSocket-Protocol": offered})
    ws, response = exchange(hub, request_text(headers))
    expect_usable(ws, response, chosen)


def test_unknown_subprotocol_alone_is_told_which_there_are(hub):
    headers = edit(upgrade_headers(hub), {"Sec-WebSocket-Protocol": "unknown"})
    ws, response = exchange(hub, request_text(headers))
    assert response.status == 101 or b"centrifuge-json" in response.body
    ws.abort()


@pytest.mark.parametrize("version", ["99", "12", "8", "0", "", "13abc", "abc", "013", "13.0", "-13",
                                     "8, 13", "1313", None])
def test_version_other_than_13_is_told_which_to_use(hub, version):
    headers = edit(upgrade_headers(hub), {"Sec-WebSocket-Version": version})
    ws, response = exchange(hub, request_text(headers))
    assert response is not None, "the hub closed without an answer"
    assert response.status == 426, response
    assert response.headers["sec-websocket-version"] == "13"
    ws.abort()


@pytest.mark.parametrize("edits", [
    pytest.param({"Host": None}, id="no_host"),
    pytest.param({"Upgrade": None}, id="no_upgrade"),
    pytest.param({"Upgrade": ""}, id="empty_upgrade"),
    pytest.param({"Upgrade": "websockets"}, id="other_upgrade"),
    pytest.param({"Upgrade": "h2c"}, id="upgrade_to_h2"),
    pytest.param({"Connection": None}, id="no_connection"),
    pytest.param({"Connection": "keep-alive"}, id="connection_without_upgrade"),
    pytest.param({"Connection": "Upgraded"}, id="connection_with_a_longer_token"),
    pytest.param({"Sec-WebSocket-Key": None}, id="no_key"),
    pytest.param({"Sec-WebSocket-Key": ""}, id="empty_key"),
    pytest.param({"Sec-WebSocket-Key": "AAAA"}, id="key_of_3_bytes"),
    pytest.param({"Sec-WebSocket-Key": base64.b64encode(b"x" * 15).decode()}, id="key_of_15_bytes"),
    pytest.param({"Sec-WebSocket-Key": base64.b64encode(b"x" * 17).decode()}, id="key_of_17_bytes"),
    pytest.param({"Sec-WebSocket-Key": KEY.rstrip("=")}, id="key_without_padding"),
    pytest.param({"Sec-WebSocket-Key": "!" * 22 + "=="}, id="key_not_base64"),
    pytest.param({"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25j_Q=="}, id="key_of_the_url_alphabet"),
    pytest.param({"Sec-WebSocket-Key": "x" * 2000}, id="key_of_2000_bytes"),
    pytest.param({"Sec-WebSocket-Key": [KEY, KEY]}, id="two_keys"),
    pytest.param({"Sec-WebSocket-Version": ["13", "13"]}, id="two_versions"),
])
def test_illegal_handshake_is_refused_with_a_4xx(hub, edits):
    ws, response = exchange(hub, request_text(edit(upgrade_headers(hub), edits)))
    assert response is not None, "the hub closed without an answer"
    assert 400 <= response.status < 500, response
    ws.abort()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"])
def test_only_get_upgrades(hub, method):
    headers = upgrade_headers(hub) + [("Content-Length", "0")]
    ws, response = exchange(hub, request_text(headers, method=method))
    assert response is None or 400 <= response.status < 500, response
    ws.abort()


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/0.9"])
def test_http_before_1_1_cannot_upgrade(hub, version):
    ws, response = exchange(hub, request_text(upgrade_headers(hub), version=version))
    assert response is None or 400 <= response.status < 600, response
    ws.abort()


@pytest.mark.parametrize("target", ["/connection", "/connection/websockets", "/connection/sockjs"])
def test_other_paths_do_not_upgrade(hub, target):
    ws, response = exchange(hub, request_text(upgrade_headers(hub), target=target))
    assert response is not None and 400 <= response.status < 500, response
    ws.abort()


@pytest.mark.parametrize("request_bytes", [
    pytest.param(b"GET /connection/websocket\r\n\r\n", id="no_version"),
    pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64), id="tls_hello"),
    pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="http2_preface"),
    pytest.param(b"GET / HTTP/1.1\r\nno colon here\r\n\r\n", id="header_without_colon"),
    pytest.param(b"GET / HTTP/1.1\r\nHost: a\x00b\r\n\r\n", id="nul_in_a_header"),
    pytest.param(b"\x00" * 512, id="zeros"),
    pytest.param(b"GET " + b"/a" * 40000 + b" HTTP/1.1\r\n\r\n", id="target_of_80000_bytes"),
    pytest.param(b"GET / HTTP/1.1\r\nX: " + b"a" * 80000 + b"\r\n\r\n", id="header_of_80000_bytes"),
    pytest.param(b"GET / HTTP/1.1\r\n" + b"X-Y: z\r\n" * 10000 + b"\r\n", id="10000_headers"),
])
def test_hostile_request_upgrades_nothing_and_harms_nobody(hub, request_bytes):
    ws, response = exchange_any(hub, request_bytes)
    assert response is None or response.status != 101
    ws.abort()
    expect_usable(*exchange(hub, request_text(upgrade_headers(hub))))


def exchange_any(hub, request):
    """Like exchange, for what may be answered in no HTTP at all, or not yet."""
    try:
        return exchange(hub, request)
    except (TimeoutError, ValueError):
        return WebSocket.connect(hub.ws_url, raw=True), None


def test_handshake_arrives_byte_by_byte(hub):
    ws = WebSocket.connect(hub.ws_url, raw=True)
    drip(ws, request_text(upgrade_headers(hub)))
    expect_usable(ws, ws.recv_response())


def test_handshake_is_cut_at_every_tenth_byte(hub):
    request = request_text(upgrade_headers(hub))
    for cut in range(1, len(request), 10):
        ws = WebSocket.connect(hub.ws_url, raw=True)
        drip(ws, [request[:cut], request[cut:]])
        expect_usable(ws, ws.recv_response())


def test_first_frame_may_follow_the_request_at_once(hub):
    first = build_frame(TEXT, b'{"id":1,"connect":{}}') + build_frame(TEXT, command(2))
    ws, response = exchange(hub, request_text(upgrade_headers(hub)) + first)
    assert response.status == 101
    replies = read_replies(ws, 2)
    assert "connect" in replies[0] and replies[1] == {"id": 2, "unsubscribe": {}}
    ws.abort()


def test_first_frame_may_be_cut_behind_the_request(hub):
    first = build_frame(TEXT, b'{"id":1,"connect":{}}')
    request = request_text(upgrade_headers(hub))
    for cut in range(1, len(first)):
        ws = WebSocket.connect(hub.ws_url, raw=True)
        drip(ws, [request + first[:cut], first[cut:]])
        assert ws.recv_response().status == 101
        assert "connect" in read_replies(ws, 1)[0]
        ws.abort()


def drip(ws, pieces):
    """Send the pieces (bytes: each byte) so that each arrives alone: the kernel's queue of what is
    sent but not taken over must be empty before the next one goes."""
    for piece in pieces if isinstance(pieces, list) else [bytes([byte]) for byte in pieces]:
        ws.send_bytes(piece)
        time.sleep(0.0005)  # a pace, not a wait for anything


# Frames as TCP brings them


def test_frames_arrive_byte_by_byte(session):
    drip(session, build_frame(TEXT, command(2)) + build_frame(PING, b"p" * 5) +
         build_frame(TEXT, command(3, size=200)))
    expect_reply(session, 2)
    assert session.recv() == (PONG, b"p" * 5)
    expect_reply(session, 3)


@pytest.mark.parametrize("size", [60, 300])
def test_frame_is_cut_at_every_byte(session, size):
    frame = build_frame(TEXT, command(2, size))
    for cut in range(1, len(frame)):
        drip(session, [frame[:cut], frame[cut:]])
        expect_reply(session, 2)


def test_many_frames_arrive_in_one_segment(session):
    session.send_bytes(b"".join(build_frame(TEXT, command(n)) for n in range(2, 202)))
    assert [reply["id"] for reply in read_replies(session, 200)] == list(range(2, 202))


def test_json_is_taken_from_binary_frames_too(session):
    session.send_binary(command(2))
    expect_reply(session, 2)


@pytest.mark.parametrize("mask", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\1\2\3\4", b"\0\0\0\1"])
def test_every_mask_is_taken_off(session, mask):
    session.send_frame(True, TEXT, command(2, 301), mask=mask)
    expect_reply(session, 2)


@pytest.mark.parametrize("opcode, payload", [
    pytest.param(TEXT, command(2), id="text", marks=UNMASKED),
    pytest.param(BINARY, command(2), id="binary", marks=UNMASKED),
    pytest.param(TEXT, command(2, 300), id="16_bit_length", marks=UNMASKED),
    pytest.param(PING, b"x", id="ping", marks=UNMASKED),
    pytest.param(CLOSE, b"\x03\xe8", id="close", marks=UNMASKED),
])
def test_unmasked_frame_is_a_protocol_error(session, opcode, payload):
    session.send_frame(True, opcode, payload, mask=False)
    expect_failure(session, 1002)


# Lengths


@pytest.mark.parametrize("size", [60, 124, 125, 126, 127, 128, 255, 256, 1023, 1024, 4095, 4096,
                                  4097, 65534, 65535, 65536])
def test_message_of_every_length_class_is_taken(session, size):
    session.send_text(command(2, size))
    expect_reply(session, 2)


@pytest.mark.parametrize("payload", [b"", b"x", b"{"])
def test_shortest_messages_fail_as_commands_not_as_frames(session, payload):
    session.send_text(payload)
    expect_failure(session, 3501)


@pytest.mark.parametrize("size, width", [(60, 2), (60, 8), (125, 2), (126, 8), (65535, 8)])
@LWS("takes lengths that are not in their shortest form")
def test_length_not_in_its_shortest_form_is_a_protocol_error(session, size, width):
    session.send_frame(True, TEXT, command(2, size), length_bytes=width)
    expect_failure(session, 1002)


@pytest.mark.parametrize("length", [1 << 63, (1 << 64) - 1])
def test_length_with_its_highest_bit_set_ends_the_connection(session, length):
    session.send_bytes(b"\x81\xff" + struct.pack(">Q", length) + b"\1\2\3\4")
    expect_failure(session, 1002, 1009, DROPPED)


@DROPS
def test_length_with_its_highest_bit_set_is_told_to_the_peer(session):
    session.send_bytes(b"\x81\xff" + struct.pack(">Q", 1 << 63) + b"\1\2\3\4")
    expect_failure(session, 1002, 1009)


# The limit of a message


def test_message_of_the_limit_is_taken_again_and_again(session):
    for _ in range(3):
        session.send_text(command(2, MESSAGE_SIZE_LIMIT))
        expect_reply(session, 2)


def test_fragments_up_to_the_limit_are_taken(session):
    text = command(2, MESSAGE_SIZE_LIMIT)
    session.send_frame(False, TEXT, text[:40000])
    session.send_frame(True, CONTINUATION, text[40000:])
    expect_reply(session, 2)


def test_message_over_the_limit_is_too_big(session):
    session.send_text(command(2, MESSAGE_SIZE_LIMIT + 1))
    expect_failure(session, 1009)


def test_fragments_over_the_limit_are_too_big(session):
    text = command(2, MESSAGE_SIZE_LIMIT + 1)
    session.send_frame(False, TEXT, text[:40000])
    session.send_frame(True, CONTINUATION, text[40000:])
    expect_failure(session, 1009)


def test_endless_fragments_are_too_big(session):
    fragment = build_frame(CONTINUATION, b"x" * 1000, fin=False)
    session.send_frame(False, TEXT, b'{"pad":"')
    try:
        for _ in range(200):
            session.send_bytes(fragment)
    except (BrokenPipeError, ConnectionResetError):
        pass
    expect_failure(session, 1009, 1006)  # a reset may overtake the close frame


@pytest.mark.parametrize("length", [MESSAGE_SIZE_LIMIT + 1, 1 << 31, 1 << 40, (1 << 63) - 1])
def test_declared_length_over_the_limit_is_too_big_before_the_bytes_come(session, length):
    head = b"\x81\xff" + struct.pack(">Q", length) + b"\1\2\3\4"
    session.send_bytes(head + b"x" * 16)
    expect_failure(session, 1009)


# Reserved bits and opcodes


@pytest.mark.parametrize("rsv", range(1, 8))
@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING])
def test_reserved_bits_are_a_protocol_error(session, opcode, rsv):
    session.send_frame(True, opcode, command(2), rsv=rsv)
    expect_failure(session, 1002)


@pytest.mark.parametrize("rsv", [1, 2, 4])
def test_reserved_bit_on_a_continuation_is_a_protocol_error(session, rsv):
    session.send_frame(False, TEXT, command(2)[:10])
    session.send_frame(True, CONTINUATION, command(2)[10:], rsv=rsv)
    expect_failure(session, 1002)


@pytest.mark.parametrize("payload", [b"", b"x", command(2)], ids=["empty", "short", "command"])
@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_reserved_opcode_is_a_protocol_error(session, opcode, payload):
    session.send_frame(True, opcode, payload)
    expect_failure(session, 1002)


# Fragmentation


def test_message_may_be_split_in_two_anywhere(session):
    text = command(2)
    for cut in range(len(text) + 1):
        session.send_bytes(build_frame(TEXT, text[:cut], fin=False) +
                           build_frame(CONTINUATION, text[cut:]))
    assert len(read_replies(session, len(text) + 1)) == len(text) + 1


def test_fragments_may_hold_one_byte_each(session):
    text = command(2)
    frames = [build_frame(CONTINUATION, bytes([byte]), fin=False) for byte in text]
    frames[0] = build_frame(TEXT, text[:1], fin=False)
    session.send_bytes(b"".join(frames) + build_frame(CONTINUATION, b""))
    expect_reply(session, 2)


def test_fragments_may_be_empty(session):
    text = command(2)
    empty = build_frame(CONTINUATION, b"", fin=False)
    session.send_bytes(build_frame(TEXT, b"", fin=False) + empty +
                       build_frame(CONTINUATION, text, fin=False) + empty +
                       build_frame(CONTINUATION, b""))
    expect_reply(session, 2)


def test_fragments_may_come_in_separate_segments(session):
    text = command(2, 200)
    drip(session, [build_frame(TEXT, text[:70], fin=False),
                   build_frame(CONTINUATION, text[70:140], fin=False),
                   build_frame(CONTINUATION, text[140:])])
    expect_reply(session, 2)


def test_nothing_is_done_before_the_last_fragment(session):
    text = command(2)
    session.send_frame(False, TEXT, text)
    session.send_ping(b"marker")
    assert session.recv() == (PONG, b"marker")
    session.send_frame(True, CONTINUATION, b"")
    expect_reply(session, 2)


def test_ping_between_fragments_is_answered_at_once(session):
    text = command(2)
    session.send_frame(False, TEXT, text[:5])
    session.send_ping(b"one")
    assert session.recv() == (PONG, b"one")
    session.send_frame(False, CONTINUATION, text[5:9])
    session.send_frame(True, PONG, b"unasked")
    session.send_ping(b"two")
    assert session.recv() == (PONG, b"two")
    session.send_frame(True, CONTINUATION, text[9:])
    expect_reply(session, 2)


def test_close_between_fragments_is_answered(session):
    session.send_frame(False, TEXT, command(2)[:5])
    session.send_close(1000)
    expect_failure(session, 1000)


@pytest.mark.parametrize("fin", [True, False])
def test_continuation_of_nothing_is_a_protocol_error(session, fin):
    session.send_frame(fin, CONTINUATION, command(2))
    expect_failure(session, 1002)


def test_continuation_of_a_finished_message_is_a_protocol_error(session):
    session.send_frame(False, TEXT, command(2)[:9])
    session.send_frame(True, CONTINUATION, command(2)[9:])
    expect_reply(session, 2)
    session.send_frame(True, CONTINUATION, command(3))
    expect_failure(session, 1002)


@pytest.mark.parametrize("fin", [True, False])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_new_message_within_a_fragmented_one_is_a_protocol_error(session, opcode, fin):
    session.send_frame(False, TEXT, command(2)[:9])
    session.send_frame(fin, opcode, command(3))
    expect_failure(session, 1002)


# Control frames


@pytest.mark.parametrize("payload", [b"", b"x", b"hello", b"\x00\xff\xfe", b"z" * 124, b"z" * 125])
def test_ping_is_answered_with_its_payload(session, payload):
    session.send_ping(payload)
    assert session.recv() == (PONG, payload)
    session.send_text(command(2))
    expect_reply(session, 2)


def test_ping_is_answered_before_connect(ws):
    ws.send_ping(b"early")
    assert ws.recv() == (PONG, b"early")


def test_ping_arrives_byte_by_byte(session):
    drip(session, build_frame(PING, b"z" * 125))
    assert session.recv() == (PONG, b"z" * 125)


@pytest.mark.parametrize("count", [2, 10])
@LWS("keeps one pong and drops the pings that come before it is sent")
def test_last_of_several_pings_is_answered(session, count):
    """RFC 6455 §5.5.3 lets an endpoint answer the most recent ping only, but that one it must."""
    session.send_bytes(b"".join(build_frame(PING, b"%d" % n) for n in range(count)))
    answers = [session.recv(1.0)]
    while answers[-1] != (PONG, b"%d" % (count - 1)):
        answers.append(session.recv(1.0))
    assert answers == sorted(answers)


@pytest.mark.parametrize("payload", [b"", b"x", b"z" * 125])
def test_unasked_pong_is_ignored(session, payload):
    session.send_frame(True, PONG, payload)
    session.send_text(command(2))
    expect_reply(session, 2)


@pytest.mark.parametrize("size, width", [(126, 2), (200, 2), (65536, 8), (5, 2)])
@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
def test_control_frame_with_an_extended_length_ends_the_connection(session, opcode, size, width):
    session.send_frame(True, opcode, b"\x03\xe8" + b"z" * (size - 2), length_bytes=width)
    expect_failure(session, 1002, DROPPED)


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
@DROPS
def test_control_frame_with_an_extended_length_is_told_to_the_peer(session, opcode):
    session.send_frame(True, opcode, b"z" * 126)
    expect_failure(session, 1002)


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
def test_fragmented_control_frame_is_a_protocol_error(session, opcode):
    session.send_frame(False, opcode, b"\x03\xe8")
    expect_failure(session, 1002)


# UTF-8


def quoted(raw):
    """A command with these bytes in a string."""
    return b'{"id":2,"unsubscribe":{"channel":"x"},"pad":"' + raw + b'"}'


VALID_UTF8 = {
    "two_bytes_first": "\u0080", "two_bytes_last": "\u07ff", "three_bytes_first": "\u0800",
    "before_surrogates": "\ud7ff", "after_surrogates": "\ue000", "noncharacter": "\ufffe\uffff",
    "replacement": "\ufffd", "four_bytes_first": "\U00010000", "last_of_all": "\U0010ffff",
    "greek": "κόσμε", "emoji": "👩‍👩‍👧", "byte_order_mark": "\ufeff",
}
INVALID_UTF8 = {
    "lone_continuation": b"\x80", "last_continuation": b"\xbf", "two_continuations": b"\x80\xbf",
    "start_without_rest": b"\xc3", "three_bytes_cut": b"\xe2\x82", "four_bytes_cut": b"\xf0\x9f\x98",
    "overlong_slash_2": b"\xc0\xaf", "overlong_slash_3": b"\xe0\x80\xaf",
    "overlong_slash_4": b"\xf0\x80\x80\xaf", "overlong_2_highest": b"\xc1\xbf",
    "overlong_3_highest": b"\xe0\x9f\xbf", "overlong_4_highest": b"\xf0\x8f\xbf\xbf",
    "overlong_nul": b"\xc0\x80", "surrogate_first": b"\xed\xa0\x80",
    "surrogate_last": b"\xed\xbf\xbf", "surrogate_pair": b"\xed\xa0\xbd\xed\xb8\x80",
    "past_the_end": b"\xf4\x90\x80\x80", "five_bytes": b"\xf8\x88\x80\x80\x80",
    "six_bytes": b"\xfc\x84\x80\x80\x80\x80", "fe": b"\xfe", "ff": b"\xff",
    "good_then_bad": "κόσμε".encode() + b"\xed\xa0\x80edited",
}


@pytest.mark.parametrize("text", VALID_UTF8.values(), ids=VALID_UTF8.keys())
def test_valid_utf8_is_taken_whole_and_split_at_every_byte(session, text):
    payload = quoted(text.encode())
    session.send_text(payload)
    expect_reply(session, 2)
    start = payload.index(text.encode())
    for cut in range(start, start + len(text.encode()) + 1):
        session.send_frame(False, TEXT, payload[:cut])
        session.send_frame(True, CONTINUATION, payload[cut:])
        expect_reply(session, 2)


@pytest.mark.parametrize("raw", INVALID_UTF8.values(), ids=INVALID_UTF8.keys())
def test_invalid_utf8_in_text_is_refused(session, raw):
    session.send_text(quoted(raw))
    expect_failure(session, 1007)


@pytest.mark.parametrize("raw", INVALID_UTF8.values(), ids=INVALID_UTF8.keys())
def test_invalid_utf8_across_fragments_is_refused(session, raw):
    payload = quoted(raw)
    cut = payload.index(raw) + len(raw) // 2
    session.send_bytes(build_frame(TEXT, payload[:cut], fin=False) +
                       build_frame(CONTINUATION, b"", fin=False) +
                       build_frame(CONTINUATION, payload[cut:]))
    expect_failure(session, 1007)


@pytest.mark.parametrize("raw", [b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98"])
def test_text_that_ends_within_a_character_is_refused(session, raw):
    session.send_text(command(2) + raw)
    expect_failure(session, 1007)


def test_character_does_not_go_on_in_the_next_message(session):
    session.send_text(b'"\xe2\x82')
    session.send_text(b'\xac"')
    expect_failure(session, 1007)


def test_invalid_utf8_in_a_binary_frame_is_bad_json(session):
    session.send_binary(quoted(b"\xff"))
    expect_failure(session, 3501)


# The closing handshake


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3001,
                                  3500, 3999, 4000, 4999])
def test_close_is_echoed_and_the_connection_ended(session, code):
    session.send_close(code, "done")
    expect_failure(session, code)
    session.wait_eof(PROMPTLY)


def test_close_without_a_code_is_answered(session):
    session.send_close(None)
    expect_failure(session, 1005, 1000)
    session.wait_eof(PROMPTLY)


def test_close_is_answered_before_connect(ws):
    ws.send_close(1000)
    expect_failure(ws, 1000)
    ws.wait_eof(PROMPTLY)


@pytest.mark.parametrize("reason", ["", "x", "κόσμε", "r" * 123])
def test_close_with_a_reason_is_answered(session, reason):
    session.send_close(1000, reason)
    expect_failure(session, 1000)


@pytest.mark.parametrize("code", [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000,
                                  65535])
def test_close_with_a_code_that_must_not_be_sent_is_a_protocol_error(session, code):
    session.send_close(code)
    expect_failure(session, 1002)


def test_close_with_one_byte_is_a_protocol_error(session):
    session.send_frame(True, CLOSE, b"\x03")
    expect_failure(session, 1002)


@pytest.mark.parametrize("raw", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"ok \xc0\xaf"])
def test_close_with_a_reason_that_is_no_utf8_is_not_echoed(session, raw):
    session.send_frame(True, CLOSE, b"\x03\xe8" + raw)
    expect_failure(session, 1007, 1002, DROPPED)


@DROPS
def test_close_with_a_reason_that_is_no_utf8_is_told_to_the_peer(session):
    session.send_frame(True, CLOSE, b"\x03\xe8\xff")
    expect_failure(session, 1007, 1002)


@pytest.mark.parametrize("after", [
    pytest.param(build_frame(TEXT, command(2)), id="command"),
    pytest.param(build_frame(PING, b"x"), id="ping"),
    pytest.param(build_frame(CLOSE, b"\x03\xe8"), id="second_close"),
    pytest.param(b"\xff" * 40, id="garbage"),
])
def test_what_follows_a_close_is_ignored(session, after):
    session.send_bytes(build_frame(CLOSE, b"\x03\xe8bye") + after)
    expect_failure(session, 1000)
    expect_silence(session)


def test_close_arrives_byte_by_byte(session):
    drip(session, build_frame(CLOSE, b"\x03\xe8bye"))
    expect_failure(session, 1000)


def test_close_right_behind_a_command_is_answered(session):
    session.send_bytes(build_frame(TEXT, command(2)) + build_frame(CLOSE, b"\x03\xe8"))
    message = session.recv(PROMPTLY)
    if not isinstance(message, Close):  # the reply may come first, but need not
        message = session.recv(PROMPTLY)
    assert message == Close(1000)


@pytest.mark.parametrize("bad", [
    pytest.param(build_frame(3, b"x"), id="protocol_error"),
    pytest.param(build_frame(TEXT, b"\xff"), id="bad_utf8"),
    pytest.param(b"\x81\xff" + struct.pack(">Q", 1 << 40) + b"\1\2\3\4x", id="too_big"),
    pytest.param(build_frame(TEXT, b"rubbish"), id="bad_command"),
])
def test_connection_is_gone_soon_after_a_failure(session, bad):
    """Also when the peer never answers the close."""
    session.send_bytes(bad)
    assert isinstance(session.recv(PROMPTLY), Close)
    session.wait_eof(END_SECONDS + PROMPTLY)


@pytest.mark.parametrize("bad", [build_frame(3, b"x"), build_frame(TEXT, b"\xff")],
                         ids=["reserved_opcode", "bad_utf8"])
def test_nothing_is_done_after_a_failure(session, bad):
    session.send_bytes(bad + build_frame(TEXT, command(2)))
    expect_failure(session, 1002, 1007)
    expect_silence(session)


# The end of TCP


def test_half_closed_connection_still_gets_its_replies_or_ends(session):
    session.send_text(command(2))
    session.sock.shutdown(socket.SHUT_WR)
    session.wait_eof(PROMPTLY)


@pytest.mark.parametrize("cut", [1, 3, 7, 20])
def test_connection_that_ends_within_a_frame_harms_nobody(hub, session, cut):
    session.send_bytes(build_frame(TEXT, command(2))[:cut])
    session.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    session.abort()
    expect_usable(*exchange(hub, request_text(upgrade_headers(hub))))
