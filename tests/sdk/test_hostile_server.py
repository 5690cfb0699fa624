"""The hostile server does what its rows say: seen by a bare socket, which takes everything, and by the
official client, whose way out of each row is known."""

import contextlib
import re
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from support import hostile_server
from support.hostile_peer import CODECS, Json, join_messages
from support.hostile_run import is_right, judge
from support.hostile_server import BEHAVIOURS, FOREVER, HostileServer, closing
from support.protobuf import COMMAND, encode
from support.ws import build_frame

CHUNK = 30
QUIET_SECONDS = 0.3
AT_ONCE = 10
ENOUGH_BYTES = 1 << 20
COMMANDS = [{"id": 1, "connect": {}}, {"id": 2, "subscribe": {"channel": "room"}},
            {"id": 3, "rpc": {"method": "echo", "data": {"n": 1}}}]


def chunks(names):
    return [names[at:at + CHUNK] for at in range(0, len(names), CHUNK)]


def label(names):
    return f"{names[0]}…{names[-1]}"


def commands(encoding):
    codec = CODECS[f"centrifuge-{encoding}"]
    if encoding == "protobuf":
        payload = join_messages(encode(
            {"id": 3, "rpc": {"method": "echo", "data": b'{"n": 1}'}} if "rpc" in command
            else command, COMMAND) for command in COMMANDS)
    else:
        payload = codec.encode(COMMANDS)
    return build_frame(codec.opcode, payload)


def last_answer(encoding):
    """The polite server's to the call: the last frame of a connection on which all was said."""
    codec = CODECS[f"centrifuge-{encoding}"]
    return build_frame(codec.opcode, codec.encode([{"id": 3, "rpc": {"data": {"n": 1}}}]),
                       mask=False)


def receive(server, name, quiet=QUIET_SECONDS):
    """What comes on one connection to which everything was said at once; it is left after the last
    answer, or when nothing has come for a while."""
    encoding = BEHAVIOURS[name].encoding
    last = last_answer(encoding)
    received = b""
    with socket.create_connection(("127.0.0.1", server.port), 5) as sock:
        sock.sendall(f"GET /{name} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                     f"Sec-WebSocket-Protocol: centrifuge-{encoding}\r\n\r\n".encode())
        with contextlib.suppress(OSError):  # a reset, or the quiet
            sock.sendall(commands(encoding))
            sock.settimeout(quiet)
            until = time.monotonic() + 10 * quiet  # one row is never quiet
            while len(received) < ENOUGH_BYTES and not received.endswith(last) and \
                    time.monotonic() < until and (data := sock.recv(65536)):
                received += data
    return received


def check_row(server, name):
    first = receive(server, name)
    if name in FOREVER:
        assert receive(server, name) == first, name
        return
    second = receive(server, name, quiet=10)
    assert first != second, f"{name} is polite"
    assert second.startswith(b"HTTP/1.1 101 "), name
    assert second.endswith(last_answer(BEHAVIOURS[name].encoding)), (name, second)


@pytest.mark.parametrize("names", chunks(list(BEHAVIOURS)), ids=label)
def test_each_row_is_hostile_once_and_then_polite(names):
    with HostileServer() as server, ThreadPoolExecutor(AT_ONCE) as pool:
        for done in [pool.submit(check_row, server, name) for name in names]:
            done.result()
        assert not server.failures


@pytest.mark.parametrize("name", [name for name in BEHAVIOURS
                                  if re.fullmatch(r"(http|close)-\d+", name)])
def test_statuses_and_codes_are_those_of_the_name(name):
    kind, _, number = name.partition("-")
    with HostileServer() as server:
        received = receive(server, name)
    if kind == "http":
        assert received.startswith(f"HTTP/1.1 {number} ".encode())
    else:
        assert build_frame(8, int(number).to_bytes(2, "big") + b"told to",
                           mask=False) in received


@pytest.mark.parametrize("names", chunks([name for name, row in BEHAVIOURS.items()
                                          if row.encoding != "msgpack"]), ids=label)
def test_the_official_client_gets_out_of_each_row_as_known(names):
    wrong = {name: (outcome, lines) for name, (outcome, lines) in judge(names).items()
             if not is_right(name, outcome, is_js=True)}
    assert not wrong


def test_another_outcome_is_noticed(monkeypatch):
    row = BEHAVIOURS["close-3500"]
    lying = hostile_server.Behaviour(closing(3001), row.expect)
    monkeypatch.setitem(BEHAVIOURS, "close-3500", lying)
    outcome, _ = judge(["close-3500"])["close-3500"]
    assert outcome == "reconnect 3001"
    assert not is_right("close-3500", outcome)


def test_a_program_that_ends_crashed_on_its_row_alone():
    crashing = (sys.executable, "-c", """
import json, sys
for line in sys.stdin:
    command = json.loads(line)
    assert command.get("client") != "close-3500", "a bug"
    print(json.dumps({"done": command["do"]}))
    if command["do"] == "connect":
        print(json.dumps({"client": command["client"], "event": "disconnected", "code": 7}))
    sys.stdout.flush()
    if command["do"] == "end":
        break
""")
    results = judge(["close-3501", "close-3500", "close-3999"], crashing)
    assert {name: outcome for name, (outcome, _) in results.items()} == {
        # It never connected at all, which is said too.
        "close-3501": "disconnected 7 after 0 connections", "close-3500": "crash",
        "close-3999": "disconnected 7 after 0 connections"}
    assert "a bug" in results["close-3500"][1]


def test_polite_answers_are_those_of_a_server():
    assert Json.decode(b'{"a":1}\n{"b":2}') == [{"a": 1}, {"b": 2}]
    assert Json.encode([{"a": 1}, {}]) == b'{"a": 1}\n{}'
