"""A WebSocket server that does everything that servers must not, or seldom, do.

    with HostileServer() as server:
        run_client(server.url("close-3500"))     # ws://127.0.0.1:PORT/close-3500
    for name, row in BEHAVIOURS.items(): ...

What the client does, the same for every row: connect (in `row.encoding`, with `row.options`, in the
words of tests/conformance/event_script.mjs) with a subscription to "room" made before; when connected
for the first time call the method "echo" with {"n": 1}.  Most rows wait for that call and then do
their deed.  At the second connection every row but those of FOREVER is a polite server.

`row.expect`: what must come of it; any of them, if there are several:
    connected        nothing: the call is answered {"n": 1} over the first connection
    reconnect N      event connecting with code N, then connected to the polite server
    disconnected N   event disconnected with code N, and no other connection
    retry            it was never connected; event error, then connected at the second attempt.  With
                     `row.status` the text of the error has to name that HTTP status
    failed N         the call fails with code N, the connection stays
    unsubscribed N   the subscription ends with code N, the connection stays
    resubscribed N   the subscription is subscribing with code N, then subscribed, same connection
    forever          it is never connected, tries again and again, and asks for a token each time
Never: a crash, a hang, unbounded memory, a busy loop.
"""

import socket
import threading
import time
from dataclasses import dataclass, field

from support.hostile_peer import Gone, Peer, join_messages
from support.protobuf import write_varint
from support.ws import BINARY, CONTINUATION, PING, PONG, TEXT, build_frame

MEBIBYTE = 1 << 20
DRIP_SECONDS = 0.05
FLOOD = 10000
DEEP = 100000
QUICK = {"timeout_ms": 700, "connect_timeout_ms": 700}
SOON = {"max_server_ping_delay_ms": 200}


@dataclass(frozen=True)
class Behaviour:
    run: object  # a function of a Peer whose request was read
    expect: tuple
    encoding: str = "json"
    status: int = 0
    options: dict = field(default_factory=dict)
    js: tuple = ()  # what centrifuge-js 5.8 on ws 8 does besides: not what is asked of ours


BEHAVIOURS = {}
# centrifuge-js 5.8 drops the connection when it cannot read a frame; ours
# ends with code 2.
UNREADABLE = ("reconnect 1",)


def row(name, run, *expect, js=(), **rest):
    assert name not in BEHAVIOURS, name
    js = UNREADABLE if "disconnected 2" in expect and not js else js
    BEHAVIOURS[name] = Behaviour(run, expect, js=js, **rest)


# How rows begin

def upgrading(act):
    """In place of the upgrade."""
    return act


def opened(act):
    """After the upgrade, before the answer to connect."""
    def run(peer):
        peer.upgrade()
        act(peer)
    return run


def at_connect(act):
    """act(peer, command) in place of the answer to connect; then polite."""
    def run(peer):
        peer.upgrade()
        act(peer, peer.serve(until="connect"))
        peer.serve()
    return run


def at_call(act, **connect):
    """Polite until the call; act(peer), then the call is answered and all goes on politely."""
    def run(peer):
        peer.connect_result.update(connect)
        peer.upgrade()
        command = peer.serve(until="rpc")
        act(peer)
        peer.answer(command)
        peer.serve()
    return run


def instead_of_call(act):
    """act(peer, command) answers the call."""
    def run(peer):
        peer.upgrade()
        act(peer, peer.serve(until="rpc"))
        peer.serve()
    return run


def sending(data):
    """These bytes at the call, and nothing of the client's is read before they are sent."""
    return at_call(lambda peer: peer.send_bytes(data))


def text(payload):
    return sending(build_frame(TEXT, payload if isinstance(payload, bytes) else payload.encode(),
                               mask=False))


def binary(payload):
    return sending(build_frame(BINARY, payload, mask=False))


def body(status, extra=""):
    return f"HTTP/1.1 {status} No\r\nContent-Length: 2\r\n{extra}\r\nno".encode()


def answering(data):
    def run(peer):
        peer.send_bytes(data)
        peer.wait_gone()
    return run


def drip(peer, data):
    for byte in data:
        peer.send_bytes(bytes([byte]))
        time.sleep(DRIP_SECONDS)  # the behaviour itself


def silence(peer):
    peer.wait_gone()


# The upgrade

row("http-garbage", answering(b"\x16\x03\x01\x00\x05\xff\x00SSH-2.0-x\r\n\r\n"), "retry")
row("http-closed", lambda peer: None, "retry")
row("http-reset", lambda peer: peer.reset(), "retry")
row("http-half", lambda peer: peer.send_bytes(b"HTTP/1.1 101 Switching Pro"), "retry")
for status in (200, 301, 400, 401, 403, 404, 426, 429, 500, 502, 503):
    extra = "Location: ws://127.0.0.1:1/\r\n" if status == 301 else ""
    row(f"http-{status}", answering(body(status, extra)), "retry", status=status)
row("http-status-999", answering(body(999)), "retry")
row("http-status-negative", answering(body(-1)), "retry")
row("http-never", silence, "retry", options=QUICK)
row("http-drip", lambda peer: drip(peer, b"HTTP/1.1 101 Switching Protocols\r\nX: " + b"y" * 4000),
    "retry", options=QUICK)
row("http-huge-header", answering(b"HTTP/1.1 101 S\r\nX: " + b"y" * MEBIBYTE + b"\r\n\r\n"), "retry")
row("http-many-headers", answering(b"HTTP/1.1 101 S\r\n" + b"X: y\r\n" * 50000 + b"\r\n"), "retry")


def endless_body(peer):
    peer.send_bytes(b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        peer.send_bytes(b"400\r\n" + b"x" * 1024 + b"\r\n")


row("http-endless-body", endless_body, "retry", status=403)

for name, replaced in {
    "accept-wrong": {"Sec_WebSocket_Accept": "bm90IHRoZSByaWdodCBvbmU9PQ=="},
    "accept-missing": {"Sec_WebSocket_Accept": None},
    "upgrade-missing": {"Upgrade": None},
    "protocol-not-offered": {"Sec_WebSocket_Protocol": "chat"},
    "extension-not-offered": {"Sec_WebSocket_Extensions": "x-own; y=1"},
}.items():
    # With an upgrade that is none, what follows is not looked at.
    row(name, (lambda options: lambda peer: (peer.send_bytes(peer.upgrade_head(**options)),
                                             peer.serve()))(replaced), "retry")

row("opened-closed", opened(lambda peer: None), "retry")
row("opened-reset", opened(lambda peer: peer.reset()), "retry")
row("opened-silence", opened(silence), "retry", options=QUICK)
row("frames-with-the-upgrade",
    lambda peer: (peer.send_bytes(peer.upgrade_head() + build_frame(PING, b"x", mask=False)),
                  peer.serve()), "connected")

# connect


def replying(**reply):
    return at_connect(lambda peer, command: peer.send({"id": command["id"], **reply}))


def raw_reply(value):
    return at_connect(lambda peer, command: peer.send_text(
        '{"id":%d,%s}' % (command["id"], value)))


row("connect-error-temporary",
    replying(error={"code": 100, "message": "internal server error", "temporary": True}), "retry")
row("connect-error-103", replying(error={"code": 103, "message": "permission denied"}),
    "disconnected 103")
row("connect-error-4000000000", replying(error={"code": 4000000000, "message": "far away"}),
    "disconnected 4000000000")
row("connect-error-109", replying(error={"code": 109, "message": "token expired"}), "retry",
    options={"tokens": ["first", "second"]})
row("connect-error-109-forever", replying(error={"code": 109, "message": "token expired"}),
    "forever", options={"tokens": ["first", "second"]})
row("connect-error-109-no-callback", replying(error={"code": 109, "message": "token expired"}),
    "disconnected 1")
row("connect-other-id",
    at_connect(lambda peer, command: peer.send({"id": 99, "connect": {"client": "c"}})), "retry",
    options=QUICK)
row("connect-twice", at_connect(lambda peer, command: peer.send(
    *[{"id": command["id"], "connect": {"client": "c"}}] * 2)), "connected")
row("connect-push-first", at_connect(lambda peer, command: peer.send(
    {"push": {"channel": "room", "pub": {"data": 1}}},
    {"id": command["id"], "connect": {"client": "c"}})), "connected")
row("connect-ttl-of-a-year", replying(connect={"client": "c", "expires": True, "ttl": 31536000}),
    "connected", options={"tokens": ["first"]})
row("connect-ttl-largest", replying(connect={"client": "c", "expires": True, "ttl": 4294967295}),
    "connected", options={"tokens": ["first"]})
row("connect-ping-largest", replying(connect={"client": "c", "ping": 4294967295, "pong": True}),
    "connected", js=("reconnect 2",))  # its timer overflows
row("connect-unknown-members",
    raw_reply('"connect":{"client":"c","new":{"a":[1]},"flag":7,"dict":{"id":"x"}},"more":[null]'),
    "connected")
for name, value in {"array": '"connect":[]', "text": '"connect":"yes"',
                    "client-number": '"connect":{"client":1}', "null": '"connect":null',
                    "ping-text": '"connect":{"client":"c","ping":"25"}',
                    "ping-negative": '"connect":{"client":"c","ping":-1}',
                    "subs-array": '"connect":{"client":"c","subs":[1]}',
                    "error-text": '"error":"no"', "error-empty": '"error":{}'}.items():
    row(f"connect-{name}", raw_reply(value), "disconnected 2", "connected", "retry",
        "disconnected 0", options=QUICK, js=("disconnected None",))

# Pings

row("never-pings", at_call(silence, ping=1, pong=True), "reconnect 2", options=SOON)
row("silence-after-connect", at_call(silence, ping=1), "reconnect 2", options=SOON)
row("ping-flood", sending(build_frame(PING, b"p" * 125, mask=False) * FLOOD), "connected",
    "reconnect 1")
row("pong-flood", sending(build_frame(PONG, b"p" * 125, mask=False) * FLOOD), "connected")
row("protocol-ping-flood", at_call(lambda peer: peer.send_bytes(
    build_frame(TEXT, b"{}", mask=False) * FLOOD), ping=25, pong=True), "connected")
row("ping-flood-unread", at_call(lambda peer: [
    peer.send_bytes(build_frame(PING, b"p" * 125, mask=False) * FLOOD) for _ in range(20)]),
    "connected", "reconnect 1")

# Frames

FRAME = build_frame(TEXT, b"{}", mask=False)
row("masked-frame", sending(build_frame(TEXT, b"{}", mask=b"abcd")), "reconnect 1")
for bit in (1, 2, 4):
    row(f"reserved-bit-{bit}", sending(build_frame(TEXT, b"{}", mask=False, rsv=bit)), "reconnect 1")
for opcode in (3, 7, 11, 15):
    row(f"opcode-{opcode}", sending(build_frame(opcode, b"{}", mask=False)), "reconnect 1")
row("fragmented-ping", sending(build_frame(PING, b"x", fin=False, mask=False)), "reconnect 1")
row("ping-of-126", sending(build_frame(PING, b"x" * 126, mask=False)), "reconnect 1")
row("continuation-of-nothing", sending(build_frame(CONTINUATION, b"{}", mask=False)), "reconnect 1")
row("message-within-a-message", sending(build_frame(TEXT, b"{", fin=False, mask=False) + FRAME),
    "reconnect 1")
row("length-2^63", sending(b"\x81\x7f" + (1 << 63).to_bytes(8, "big") + b"{"),
    "reconnect 1", "disconnected 3")
row("length-2^63-1", sending(b"\x81\x7f" + ((1 << 63) - 1).to_bytes(8, "big") + b"{"),
    "reconnect 1", "disconnected 3")
row("length-4-GiB", sending(b"\x81\x7f" + (1 << 32).to_bytes(8, "big") + b"{"),
    "disconnected 3", "reconnect 1")
row("message-of-100-MiB",
    at_call(lambda peer: [peer.send_bytes(b"\x81\x7f" + (100 * MEBIBYTE).to_bytes(8, "big")),
                          *[peer.send_bytes(b" " * MEBIBYTE) for _ in range(100)]]),
    "disconnected 3", js=("connected", "reconnect 1"))
row("message-without-end", at_call(lambda peer: [
    peer.send_frame(TEXT if number == 0 else CONTINUATION, b" " * MEBIBYTE, fin=False)
    for number in range(128)]), "disconnected 3", js=("reconnect 1",))
row("length-not-shortest", sending(build_frame(TEXT, b"{}", mask=False, length_bytes=8)),
    "connected", "reconnect 1")
row("half-a-frame", at_call(lambda peer: (peer.send_bytes(b"\x81\x05{"), peer.reset())),
    "reconnect 1")
for size in (1, 7):
    PARTS = [b'{"push":{"channel":"room","pub":{"data":"\xc3\xbc"}}}'[at:at + size]
             for at in range(0, 51, size)]
    row(f"fragments-of-{size}", sending(b"".join(
        build_frame(CONTINUATION if at else TEXT, part, fin=at == len(PARTS) - 1, mask=False)
        + build_frame(PING, b"between", mask=False) for at, part in enumerate(PARTS))), "connected")
row("fragments-that-are-empty", sending(
    build_frame(TEXT, b"", fin=False, mask=False)
    + build_frame(CONTINUATION, b"", fin=False, mask=False) * FLOOD
    + build_frame(CONTINUATION, b"{}", mask=False)), "connected")
row("close-within-a-message", sending(build_frame(TEXT, b"{", fin=False, mask=False)
                                      + build_frame(8, b"\x0b\xb9x", mask=False)), "reconnect 3001")
row("invalid-utf8", text(b'{"push":{"channel":"room","pub":{"data":"\xff"}}}'),
    "reconnect 1", "disconnected 2")
row("empty-message", text(b""), "disconnected 2", "connected")
row("json-in-a-binary-frame", binary(b"{}"), "connected", "disconnected 2")

# JSON

for name, payload in {
    "garbage": "no json at all", "truncated": '{"push":{"channel":"room"', "number": "17",
    "array": "[]", "trailing": "{}x", "two-without-a-line-end": "{}{}", "bom": "\ufeff{}",
    "nul": "{}\0", "bare-word": '{"push":tru}', "comma": '{"push":{},}',
    "single-quotes": "{'push':{}}", "control-character": '{"push":{"channel":"a\x01"}}',
}.items():
    # A strict reader refuses each; what is no reply but JSON may be ignored.
    expect = ("disconnected 2", "connected") if name in ("number", "array") else ("disconnected 2",)
    row(f"json-{name}", text(payload), *expect)
PUSH = '{"push":{"channel":"room","pub":{"data":%s}}}'
for name, payload in {
    "deep-data": PUSH % ("[" * DEEP + "]" * DEEP),
    "deep-unknown-member": '{"new":' + "[" * DEEP + "]" * DEEP + "}",
    "deep-and-open": PUSH % ("[" * DEEP),
    "lone-surrogate": PUSH % r'"\ud800"', "number-past-double": PUSH % "1e999",
    "offset-negative": '{"push":{"channel":"room","pub":{"data":1,"offset":-1}}}',
    "offset-past-uint64": '{"push":{"channel":"room","pub":{"data":1,"offset":18446744073709551616}}}',
    "offset-text": '{"push":{"channel":"room","pub":{"data":1,"offset":"1"}}}',
    "pub-text": '{"push":{"channel":"room","pub":"x"}}', "push-text": '{"push":"x"}',
    "push-array": '{"push":[]}', "channel-number": '{"push":{"channel":1,"pub":{"data":1}}}',
    "id-negative": '{"id":-1,"rpc":{}}', "id-text": '{"id":"1","rpc":{}}',
    "id-past-uint32": '{"id":4294967296,"rpc":{}}', "error-array": '{"id":3,"error":[]}',
}.items():
    row(f"json-{name}", text(payload), "disconnected 2", "connected", "failed 0")
for name, payload in {
    "unknown-members": '{"new":1,"push":{"channel":"room","more":[],"pub":{"data":1,"x":{"y":2}}}}',
    "duplicate-members": '{"push":{"channel":"a","channel":"room","pub":{"data":1}}}',
    "nulls": '{"id":null,"error":null,"push":{"channel":"room","pub":{"data":null,"info":null}}}',
    "white-space": ' {\t"push" : { "channel":"room" , "pub":{"data": 1 } } }\r',
    "escapes": r'{"p\u0075sh":{"channel":"r\u006fom","pub":{"data":"\ud83d\ude42\/"}}}',
    "many-in-a-frame": "\n".join(["{}"] * FLOOD), "last-line-end": "{}\n",
    "unknown-push": '{"push":{"channel":"room","dance":{}}}', "empty-push": '{"push":{}}',
    "unknown-channel": '{"push":{"channel":"nobody","pub":{"data":1}}}',
    "unknown-channel-id": '{"push":{"id":999,"pub":{"data":1}}}',
    "pub-without-data": '{"push":{"channel":"room","pub":{}}}',
    "unknown-id": '{"id":77,"rpc":{"data":1}}', "leave-of-nobody":
        '{"push":{"channel":"room","leave":{"info":{"user":"","client":""}}}}',
    "message": '{"push":{"message":{"data":{"a":1}}}}', "refresh": '{"push":{"refresh":{}}}',
    "offsets-backwards": "\n".join('{"push":{"channel":"room","pub":{"data":1,"offset":%d}}}' % n
                                   for n in (9, 3, 18446744073709551615, 1)),
    "large-publication": PUSH % ('"' + "x" * 60000 + '"'),
}.items():
    row(f"json-{name}", text(payload), "connected")

# Calls

row("call-never-answered", instead_of_call(lambda peer, command: None), "failed 1", options=QUICK)
row("call-answered-twice", instead_of_call(lambda peer, command: peer.send(
    *[{"id": command["id"], "rpc": {"data": {"n": 1}}}] * 2)), "connected")
row("call-error", instead_of_call(lambda peer, command: peer.send(
    {"id": command["id"], "error": {"code": 100, "message": "x", "temporary": True}})), "failed 100")
row("call-error-without-message", instead_of_call(lambda peer, command: peer.send(
    {"id": command["id"], "error": {"code": 450}})), "failed 450")
row("call-answer-of-another-kind", instead_of_call(lambda peer, command: peer.send_text(
    '{"id":%d,"history":{}}' % command["id"])), "failed 0", "failed 1", "connected", "disconnected 2",
    options=QUICK)

# Subscriptions


def at_subscribe(act):
    """act(peer, command) at the first subscribe only."""
    def run(peer):
        def replace(command):
            if "subscribe" in command and peer.subscribes == 0:
                peer.subscribes += 1
                act(peer, command)
                return True
            return False

        peer.upgrade()
        peer.serve(replace=replace)
    return run


def refusing(code, **rest):
    return at_subscribe(lambda peer, command: peer.send(
        {"id": command["id"], "error": {"code": code, "message": "refused", **rest}}))


def pushing(kind, **members):
    channel = {"channel": "room"} if kind == "unsubscribe" else {}
    return at_call(lambda peer: peer.send({"push": {**channel, kind: members}}))


row("subscribe-never-answered", at_subscribe(lambda peer, command: None), "reconnect 3",
    options=QUICK)
row("subscribe-error-103", refusing(103), "unsubscribed 103")
row("subscribe-error-temporary", refusing(100, temporary=True), "connected")
row("subscribe-many-recovered", at_subscribe(lambda peer, command: peer.send(
    {"id": command["id"], "subscribe": {
        "recoverable": True, "positioned": True, "epoch": "x", "offset": 0, "was_recovering": True,
        "recovered": True, "publications": [{"data": n, "offset": n} for n in range(1, FLOOD)]}})),
    "connected")
for code in (2000, 2499):
    row(f"unsubscribe-{code}", pushing("unsubscribe", code=code, reason="told to"),
        f"unsubscribed {code}")
for code in (2500, 2501, 2502, 2999):
    row(f"unsubscribe-{code}", pushing("unsubscribe", code=code, reason="told to"),
        f"resubscribed {code}")
row("unsubscribe-0", pushing("unsubscribe", code=0, reason=""), "unsubscribed 0")
for code in (3001, 3014, 3499, 4000, 4499, 5000, 100000):
    row(f"disconnect-push-{code}", pushing("disconnect", code=code, reason="told to"),
        f"reconnect {code}")
for code in (3500, 3999, 4500, 4999):
    row(f"disconnect-push-{code}", pushing("disconnect", code=code, reason="told to"),
        f"disconnected {code}")

# Closing


def closing(code=None, reason=b"told to"):
    def act(peer):
        peer.close(code, reason)
        peer.wait_gone()
    return at_call(act)


for code in (1000, 1001, 1002, 1003, 1007, 1008, 1010, 1011, 1012, 1013, 1014):
    row(f"close-{code}", closing(code), "reconnect 1")
row("close-1009", closing(1009), "disconnected 3")
for code in (3000, 3001, 3014, 3499, 4000, 4499):
    row(f"close-{code}", closing(code), f"reconnect {code}")
for code in (3500, 3501, 3999, 4500, 4999):
    row(f"close-{code}", closing(code), f"disconnected {code}")
# None may be sent (RFC 6455 §7.4); a library may fail the connection or believe the number.
for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999):
    row(f"close-{code}", closing(code), "reconnect 1")
for code in (5000, 65535):
    row(f"close-{code}", closing(code), "reconnect 1", f"reconnect {code}")
row("close-empty", closing(None), "reconnect 1")
row("close-one-byte", sending(build_frame(8, b"x", mask=False)), "reconnect 1")
row("close-too-long", sending(build_frame(8, b"\x0d\xac" + b"x" * 124, mask=False)), "reconnect 1")
row("close-3001-no-reason", closing(3001, b""), "reconnect 3001")
# centrifuge-js looks at the code only when there is a reason.
row("close-3500-no-reason", closing(3500, b""), "disconnected 3500", js=("reconnect 3500",))
row("close-3500-longest-reason", closing(3500, b"x" * 123), "disconnected 3500")
row("close-3500-utf8-reason", closing(3500, "zu spät 🙂".encode()), "disconnected 3500")
row("close-3500-broken-utf8", closing(3500, b"\xff\xfe"), "reconnect 1", "disconnected 3500")
row("close-3500-nul-reason", closing(3500, b"a\0b"), "disconnected 3500")
row("close-3500-json-reconnect", closing(3500, b'{"reason":"old","reconnect":true}'),
    "reconnect 3500")
row("close-3001-json-no-reconnect", closing(3001, b'{"reason":"old","reconnect":false}'),
    "disconnected 3001")
row("close-3001-broken-json", closing(3001, b'{"reason":"old","reconn'), "reconnect 3001")
row("close-3001-json-number", closing(3001, b"17"), "reconnect 3001", js=("disconnected 3001",))
row("close-twice", at_call(lambda peer: (peer.close(3001, b"a"), peer.close(3500, b"b"),
                                         peer.wait_gone())), "reconnect 3001")
row("close-and-more", at_call(lambda peer: (peer.close(3001, b"a"), peer.send_text("no json"),
                                            peer.wait_gone())), "reconnect 3001")
row("fin", at_call(lambda peer: peer.sock.shutdown(socket.SHUT_RDWR)), "reconnect 1")
row("reset", at_call(lambda peer: peer.reset()), "reconnect 1")

# Protobuf: frames of length-prefixed messages.  A push is field 4 of a reply.

EMPTY_PUSH = b"\x22\x00"
for name, payload in {
    "garbage": b"\xff\xfe\xfd no protobuf", "truncated-message": b"\x05\x22\x03\x12",
    "length-past-the-frame": b"\x7f" + EMPTY_PUSH, "length-of-10-bytes": b"\xff" * 9 + b"\x01",
    "length-of-11-bytes": b"\xff" * 11, "length-cut": b"\xff", "tag-cut": b"\x01\xff",
    "wire-type-6": join_messages([b"\x26\x00"]), "wire-type-7": join_messages([b"\x27\x00"]),
    "field-0": join_messages([b"\x02\x00"]), "field-past-its-message": join_messages([b"\x22\x7f\x12"]),
    "sub-message-past-its-parent": join_messages([b"\x22\x04\x12\x7fro"]),
    "varint-of-11-bytes": join_messages([b"\x08" + b"\xff" * 10 + b"\x01"]),
    "length-negative": join_messages([b"\x22" + b"\xff" * 9 + b"\x01"]),
}.items():
    row(f"protobuf-{name}", binary(payload), "disconnected 2", encoding="protobuf",
        js=("connected", "reconnect 1"))  # it skips some
for name, payload in {
    "group": join_messages([b"\x23\x24"]), "channel-not-utf8": join_messages([b"\x22\x04\x12\x02\xff\xfe"]),
    "wire-type-of-another": join_messages([b"\x20\x01"]), "empty-frame": b"",
    "text-frame": None,
}.items():
    act = text(b"\x02" + EMPTY_PUSH) if payload is None else binary(payload)
    row(f"protobuf-{name}", act, "disconnected 2", "connected", encoding="protobuf")
for name, payload in {
    "pings": b"\x00" * FLOOD, "empty-push": join_messages([EMPTY_PUSH]),
    "unknown-fields": join_messages([b"\xfa\x3e\x03abc\xf8\x3e\x01\xf9\x3e" + b"x" * 8
                                     + b"\xfd\x3e" + b"x" * 4]),
    "unknown-id": join_messages([b"\x08\x4d\x6a\x00"]),
    "field-twice": join_messages([b"\x08\x4d\x08\x4e\x6a\x00"]),
    "long-varint": b"\x82\x00" + EMPTY_PUSH,
    "many-in-a-frame": join_messages([EMPTY_PUSH] * FLOOD),
}.items():
    row(f"protobuf-{name}", binary(payload), "connected", encoding="protobuf")
row("protobuf-close-3500", closing(3500), "disconnected 3500", encoding="protobuf")
row("protobuf-reset", at_call(lambda peer: peer.reset()), "reconnect 1", encoding="protobuf")
row("protobuf-data-of-1-MiB", binary(join_messages(
    [b"\x22" + write_varint(len(inner) + 1 + len(write_varint(len(inner)))) + b"\x22"
     + write_varint(len(inner)) + inner for inner in
     [b"\x22" + write_varint(60000) + b"x" * 60000]])), "connected", encoding="protobuf")

# MessagePack: maps one behind the other.

for name, payload in {
    "garbage": b"\xc1\xc1", "truncated": b"\x81\xa4push\x81", "array": b"\x90", "number": b"\x07",
    "nil": b"\xc0", "map-of-2^32-1": b"\xdf\xff\xff\xff\xff", "text-of-2^32-1": b"\x81\xdb\xff\xff\xff\xff",
    "array-of-2^32-1": b"\x81\xa4push\xdd\xff\xff\xff\xff", "cut-text": b"\x81\xa4pu",
    "deep": b"\x81\xa1x" + b"\x91" * DEEP + b"\xc0", "deep-maps": b"\x81\xa1x" * DEEP + b"\xc0",
}.items():
    row(f"msgpack-{name}", binary(payload), "disconnected 2", encoding="msgpack")
for name, payload in {
    "key-number": b"\x81\x01\x02", "key-not-utf8": b"\x81\xa2\xff\xfe\x01", "push-number": b"\x81\xa4push\x01",
    "id-float": b"\x81\xa2id\xcb?\xf8\0\0\0\0\0\0", "extension": b"\x81\xa1x\xd4\x05\x01",
    "empty-frame": b"",
}.items():
    row(f"msgpack-{name}", binary(payload), "disconnected 2", "connected", encoding="msgpack")
for name, payload in {
    "pings": b"\x80" * FLOOD, "unknown-members": b"\x82\xa1x\x93\x01\x02\x03\xa3new\xc4\x02ab",
    "nils": b"\x81\xa4push\xc0", "wide-numbers": b"\x81\xa2id\xcf\0\0\0\0\0\0\0M",
}.items():
    row(f"msgpack-{name}", binary(payload), "connected", encoding="msgpack")

FOREVER = {name for name, behaviour in BEHAVIOURS.items() if "forever" in behaviour.expect}


class HostileServer:
    """All behaviours at once, one by the path of the URL.  `accepted[name]` counts connections."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.accepted = {}
        self.failures = []  # of the server itself: a bug here
        self.lock = threading.Lock()
        self.sockets = set()
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    def url(self, name):
        assert name in BEHAVIOURS, f"no behaviour {name}"
        return f"ws://127.0.0.1:{self.port}/{name}"

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            with self.lock:
                self.sockets.add(sock)
                self.threads.append(thread)
            thread.start()

    def _serve(self, sock):
        peer = Peer(sock)
        name = "?"
        try:
            peer.read_request()
            name = peer.path.partition("?")[0].strip("/")
            with self.lock:
                peer.attempt = self.accepted[name] = self.accepted.get(name, 0) + 1
            if peer.attempt == 1 or name in FOREVER:
                BEHAVIOURS[name].run(peer)
            else:
                peer.upgrade()
                peer.serve()
        except (Gone, OSError):
            pass  # the client left, or close() did
        except Exception as failure:  # shown by the test
            self.failures.append((name, repr(failure)))
        finally:
            with self.lock:
                self.sockets.discard(sock)
            sock.close()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self.lock:
            sockets = list(self.sockets)
        for sock in sockets:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it has ended meanwhile
        for thread in self.threads:
            thread.join(5)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
