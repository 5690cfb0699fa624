"""Calls from clients to services through Redis, with services of tests/support/rpc_service.py."""

import collections
import contextlib
import json
import shlex
import signal
import subprocess
import sys
import threading
import time

import msgpack
import pytest

from support.client import JsonClient, MsgpackClient, ReplyError
from support.hub import ROOT
from support.protobuf import ProtobufClient
from support.rpc_service import (NO_ANSWER, Connection, RpcError, RpcService, json_payload,
                                 msgpack_payload, standard_methods, value_of)

RETURN_SECONDS = 10.0  # the longest back-off after a restart of Redis, and some room
HANG = "shop.v1.hang"
ECHO = "shop.v1.echo"


def methods(**more):
    return {**standard_methods("shop", "only"),
            **{f"shop.v1.{name}": function for name, function in more.items()}}


@pytest.fixture
def rpc_hub(make_hub, redis):
    def start(**options):
        return make_hub({"rpc": options}, redis=redis)

    return start


@pytest.fixture
def shop(redis):
    with RpcService(redis, "shop", methods()) as service:
        yield service


@contextlib.contextmanager
def process(redis, instance):
    """A service in a process of its own, to be killed."""
    child = subprocess.Popen(
        [sys.executable, "-m", "support.rpc_service", redis.socket_path, "shop", instance],
        cwd=ROOT / "tests", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout.readline() == b"serving\n"
        yield child
    finally:
        child.kill()
        child.communicate()


def start_all(client, method, values):
    return [client.start("rpc", method=method, data=value) for value in values]


def fails(client, method, data=None, timeout=10.0):
    """The error that a call gets."""
    with pytest.raises(ReplyError) as refused:
        client.rpc(method, data, timeout=timeout)
    return refused.value


def code_of(client, command_id, timeout=10.0):
    """0, or the code of the error."""
    try:
        client.wait_reply(command_id, timeout)
    except ReplyError as error:
        return error.code
    return 0


def until(function, wanted, timeout=10.0):
    """Poll until `function()` says so."""
    deadline = time.monotonic() + timeout
    while (have := function()) != wanted:
        assert time.monotonic() < deadline, f"{have!r}, not {wanted!r}"
        time.sleep(0.02)  # between polls of a bounded wait


def call_code(client, method, data=None):
    return code_of(client, client.start("rpc", method=method, data=data))


# The way there and back


def test_hundreds_of_calls_on_one_socket_are_each_answered(rpc_hub, shop, clients):
    client = clients(rpc_hub())
    waiting = {}
    for start in range(0, 600, 200):
        numbers = range(start, start + 200)
        waiting |= dict(zip(start_all(client, ECHO, [{"n": n} for n in numbers]), numbers))
        for command_id, n in waiting.items():
            assert client.wait_reply(command_id)["data"] == {"n": n}
        waiting.clear()


def test_a_slow_call_delays_neither_a_fast_one_nor_other_commands(rpc_hub, redis, clients):
    gate = threading.Event()

    def slow(call):
        assert gate.wait(10)
        return json_payload("late")

    with RpcService(redis, "shop", methods(slow=slow), threads=2):
        client = clients(rpc_hub())
        first = client.start("rpc", method="shop.v1.slow")
        assert client.rpc(ECHO, 1)["data"] == 1
        client.subscribe("news")
        assert first not in client.replies
        gate.set()
        assert client.wait_reply(first)["data"] == "late"


def test_what_the_hub_stamps_cannot_be_forged(rpc_hub, shop, clients):
    hub = rpc_hub()
    client = clients(hub, token=hub.token("ann"))
    forged = {"user": "root", "roles": ["admin"], "client": "x", "deadline_ms": 2**53, "id": 7,
              "reply": "wh:rpc:reply:nobody", "method": HANG, "peer": "9.9.9.9", "v": 99}
    before = time.time() * 1000
    client.send_messages({"id": 70, "user": "root", "meta": {},
                          "rpc": {"method": ECHO, "data": forged, "user": "root", "key": "k",
                                  "roles": ["admin"], "timeout_ms": 9}})
    assert client.wait_reply(70)["data"] == forged
    call = shop.calls[0]
    assert (call["v"], call["user"], call["method"], call["peer"]) == (1, "ann", ECHO, "127.0.0.1")
    assert not {"roles", "key", "meta"} & call.keys()
    assert call["reply"].startswith("wh:rpc:reply:") and call["reply"] != forged["reply"]
    assert len(call["client"]) == 36
    assert before - 1 <= call["sent_ms"] <= call["deadline_ms"] <= time.time() * 1000 + 4800


def test_clients_of_every_encoding_read_answers_of_every_kind(rpc_hub, redis, clients):
    value = {"text": "grüße", "list": [1, -2.5, None, True], "big": 2**40}
    more = {"json": lambda call: json_payload(value), "msgpack": lambda call: msgpack_payload(value),
            "params": lambda call: json_payload(value_of(call["params"]))}
    with RpcService(redis, "shop", methods(**more)):
        hub = rpc_hub()
        for kind in (JsonClient, MsgpackClient, ProtobufClient):
            client = clients(hub, kind)
            write, read = ((lambda sent: json.dumps(sent).encode(), json.loads)
                           if kind is ProtobufClient else (lambda sent: sent, lambda data: data))
            assert read(client.rpc("shop.v1.json")["data"]) == value
            assert read(client.rpc("shop.v1.msgpack")["data"]) == value
            assert read(client.rpc("shop.v1.params", write(value))["data"]) == value


def test_an_answer_that_an_encoding_cannot_show_fails_that_call_alone(rpc_hub, redis, clients):
    more = {"bytes": lambda call: [0, b"\xff\x00"], "null": lambda call: None}
    with RpcService(redis, "shop", methods(**more)):
        hub = rpc_hub()
        text, binary, bare = (clients(hub, kind)
                              for kind in (JsonClient, MsgpackClient, ProtobufClient))
        assert fails(text, "shop.v1.bytes").code == 100
        assert text.rpc(ECHO, 1)["data"] == 1
        assert binary.rpc("shop.v1.bytes")["data"] == b"\xff\x00"
        assert bare.rpc("shop.v1.bytes")["data"] == b"\xff\x00"
        assert text.rpc("shop.v1.null").get("data") is None


def test_an_answer_that_no_client_may_be_sent_fails_that_call_alone(rpc_hub, redis, clients):
    more = {"huge": lambda call: json_payload("x" * 2**20)}
    with RpcService(redis, "shop", methods(**more)):
        client = clients(rpc_hub())
        assert fails(client, "shop.v1.huge").code == 100
        assert client.rpc(ECHO, 1)["data"] == 1


def test_errors_of_services_pass_through_if_they_may(rpc_hub, redis, clients):
    def fail(call):
        wanted = value_of(call["params"])
        raise RpcError(wanted["code"], wanted["message"], wanted["temporary"])

    with RpcService(redis, "shop", methods(fail=fail)):
        client = clients(rpc_hub(**{"breaker": {"window": "0s"}}))
        for code in (100, 103, 104, 107, 111, 400, 409, 499, 1503, 1504):
            error = fails(client, "shop.v1.fail",
                          {"code": code, "message": "says who", "temporary": code % 2 == 1})
            assert (error.code, error.message, error.temporary) == (code, "says who", code % 2 == 1)
        for code in (0, 1, 99, 101, 108, 399, 500, 2000, 3000, 3501, 2**32 - 1):
            error = fails(client, "shop.v1.fail", {"code": code, "message": "x", "temporary": False})
            assert (error.code, error.message) == (100, "internal server error"), code
        error = fails(client, "shop.v1.fail", {"code": 404, "message": "", "temporary": False})
        assert error.code == 404 and error.message


def test_the_announced_rule_is_kept(rpc_hub, redis, clients):
    rules = {ECHO: {"access": "user"}, "shop.v1.instance": {"access": "role", "roles": ["clerk"]}}
    with RpcService(redis, "shop", methods(), rules=rules) as shop:
        hub = rpc_hub()
        nobody, ann = clients(hub), clients(hub, token=hub.token("ann"))
        assert fails(nobody, ECHO).code == 101
        assert ann.rpc(ECHO, 1)["data"] == 1
        assert fails(nobody, "shop.v1.instance").code == 101
        assert fails(ann, "shop.v1.instance").code == 103
        assert len(shop.calls) == 1


# Who is there


def test_methods_that_nobody_announced_are_104(rpc_hub, shop, clients):
    client = clients(rpc_hub())
    for method in ("shop.v1.nope", "bank.v1.pay", "shop", "", ".", "shop.", "Shop.v1.echo",
                   "shop.v1.echo ", "shop..echo", "s" * 65 + ".x", "shop." + "x" * 200):
        error = fails(client, method)
        assert (error.code, error.temporary) == (104, False), method
    assert client.rpc(ECHO, 1)["data"] == 1
    assert len(shop.calls) == 1


def test_a_method_announced_a_moment_ago_is_found(rpc_hub, redis, clients):
    client = clients(rpc_hub())
    for number in range(4):
        name = f"shop{number}"
        assert fails(client, f"{name}.v1.echo").code == 104
        with RpcService(redis, name, standard_methods(name, "x")):
            assert client.rpc(f"{name}.v1.echo", number)["data"] == number


def test_a_service_that_is_announced_no_more_is_104_and_what_is_under_way_ends_well(
        rpc_hub, redis, clients):
    gate = threading.Event()

    def slow(call):
        assert gate.wait(10)
        return json_payload("done")

    with RpcService(redis, "shop", methods(slow=slow), threads=2) as shop:
        client = clients(rpc_hub(timeout="30s"))
        command_id = client.start("rpc", method="shop.v1.slow")
        shop.wait_calls(1)
        redis.cli("HDEL", "wh:rpc:services", "shop")
        redis.cli("PUBLISH", "wh:rpc:services", "shop")
        until(lambda: call_code(client, ECHO), 104)
        gate.set()
        assert client.wait_reply(command_id)["data"] == "done"
        assert fails(client, ECHO).code == 104
        shop.announce()
        until(lambda: call_code(client, ECHO), 0)


def test_damaged_announcements_harm_nobody_else(rpc_hub, redis, shop, clients):
    for field, value in ((b"bad", b"{"), (b"\xff\n\x00", b"{}"), (b"x" * 1000, b"{}"),
                         (b"empty", b""), (b"deep", b"[" * 10000)):
        connection = Connection(redis.socket_path)
        connection.call("HSET", "wh:rpc:services", field, value)
        connection.close()
    hub = rpc_hub(timeout="60s")
    client = clients(hub)
    assert client.rpc(ECHO, 1)["data"] == 1
    assert fails(client, "bad.v1.x").code == 104
    hub.wait_log("announcement_ignored")
    redis.cli("DEL", "wh:rpc:services")
    redis.cli("SET", "wh:rpc:services", "no hash")
    redis.cli("PUBLISH", "wh:rpc:services", "x")
    assert client.rpc(ECHO, 2)["data"] == 2  # what was read before stays
    assert fails(client, "other.v1.x").code == 1503


def test_a_service_without_instance_is_1503_at_once_and_nothing_is_queued(rpc_hub, redis, clients):
    with RpcService(redis, "shop", methods(), threads=0, alive=False):
        client = clients(rpc_hub(timeout="60s"))
        for _ in range(3):
            error = fails(client, ECHO, timeout=10.0)
            assert (error.code, error.temporary) == (1503, True)
        assert redis.cli("EXISTS", "wh:rpc:shop") == b"0\n"


def test_two_instances_share_the_calls(rpc_hub, redis, clients):
    barrier = threading.Barrier(2, timeout=10)
    def together(call):
        barrier.wait()  # both have one at the same time
        return json_payload(None)

    with RpcService(redis, "shop", methods(together=together)) as one, \
            RpcService(redis, "shop", methods(together=together)) as other:
        client = clients(rpc_hub())
        for command_id in start_all(client, "shop.v1.together", range(100)):
            client.wait_reply(command_id)
        assert len(one.calls) == len(other.calls) == 50


def test_killing_an_instance_costs_the_calls_it_had_and_no_others(rpc_hub, redis, clients):
    hub = rpc_hub(timeout="1500ms", breaker={"window": "0s"})
    with process(redis, "victim") as victim, process(redis, "survivor"):
        client = clients(hub)
        hanging = start_all(client, HANG, range(8))
        counts = collections.Counter(
            client.rpc("shop.v1.instance")["data"] for _ in range(100))
        assert set(counts) == {"victim", "survivor"}
        waits = start_all(client, "shop.v1.wait", [{"seconds": 0.5}] * 8)
        until(lambda: redis.cli("LLEN", "wh:rpc:shop"), b"0\n")
        victim.kill()
        codes = [code_of(client, command_id) for command_id in hanging + waits]
        assert set(codes[:8]) == {1504}
        assert 0 in codes[8:] and set(codes[8:]) <= {0, 1504}
        until(lambda: redis.cli("PUBSUB", "NUMSUB", "wh:rpc:alive:shop"),
              b"wh:rpc:alive:shop\n1\n")
        assert {client.rpc("shop.v1.instance")["data"] for _ in range(20)} == {"survivor"}
    until(lambda: call_code(client, ECHO), 1503)
    metrics = hub.metrics()
    assert metrics['wirehub_rpc_seconds_count{service="shop",outcome="deadline"}'] >= 8


# Deadlines


def test_a_call_ends_by_its_deadline_and_the_late_answer_is_counted(rpc_hub, redis, clients):
    gate = threading.Event()

    def slow(call):
        assert gate.wait(10)
        return json_payload("late")

    rules = {"shop.v1.slow": {"timeout_ms": 200}}
    with RpcService(redis, "shop", methods(slow=slow), rules=rules) as shop:
        hub = rpc_hub(timeout="60s")
        client = clients(hub)
        started = time.time() * 1000
        error = fails(client, "shop.v1.slow")
        assert (error.code, error.temporary) == (1504, True)
        deadline = shop.calls[0]["deadline_ms"]
        assert started + 190 <= deadline
        assert time.time() * 1000 >= deadline - 1  # clocks are cut to milliseconds
        gate.set()
        hub.wait_metric("wirehub_rpc_late_replies_total", lambda count: count == 1)
        assert client.rpc(ECHO, 1)["data"] == 1  # its id has not been given to anybody wrongly


def test_a_call_whose_deadline_passes_in_the_queue_is_never_begun(rpc_hub, redis, clients):
    gate = threading.Event()

    def block(call):
        assert gate.wait(10)
        return NO_ANSWER

    rules = {name: {"timeout_ms": 150} for name in ("shop.v1.block", ECHO)}
    with RpcService(redis, "shop", methods(block=block), rules=rules) as shop:
        client = clients(rpc_hub())
        blocking = client.start("rpc", method="shop.v1.block")
        shop.wait_calls(1)
        queued = start_all(client, ECHO, range(5))
        assert {code_of(client, command_id) for command_id in [blocking, *queued]} == {1504}
        gate.set()
        shop.wait_calls(6)
        assert len(shop.expired) == 5


# Limits


def test_calls_of_a_connection_past_the_limit_are_111(rpc_hub, redis, clients):
    gate = threading.Event()

    def slow(call):
        assert gate.wait(10)
        return json_payload(1)

    with RpcService(redis, "shop", methods(slow=slow)):
        hub = rpc_hub(timeout="30s")
        client, other = clients(hub), clients(hub)
        started = start_all(client, "shop.v1.slow", range(256))
        error = fails(client, "shop.v1.slow")
        assert (error.code, error.temporary) == (111, True)
        extra = other.start("rpc", method="shop.v1.slow")
        gate.set()
        assert {code_of(client, command_id) for command_id in started} == {0}
        assert code_of(other, extra) == 0
        assert client.rpc(ECHO, 1)["data"] == 1


def test_calls_to_a_service_past_the_limit_are_111(rpc_hub, redis, shop, clients):
    with RpcService(redis, "bank", {"bank.v1.echo": lambda call: call["params"]}):
        client = clients(rpc_hub(timeout="30s", service_inflight_limit=10))
        start_all(client, HANG, range(10))
        assert fails(client, ECHO).code == 111
        assert client.rpc("bank.v1.echo", 1)["data"] == 1


def test_a_queue_past_its_limit_is_111_until_it_is_shorter(rpc_hub, redis, clients):
    gate = threading.Event()

    def slow(call):
        assert gate.wait(10)
        return json_payload(1)

    with RpcService(redis, "shop", methods(slow=slow)) as shop:
        hub = rpc_hub(timeout="30s", queue_limit=20)
        client = clients(hub)
        first = client.start("rpc", method="shop.v1.slow")
        shop.wait_calls(1)
        started = start_all(client, "shop.v1.slow", range(21))
        hub.wait_metric('wirehub_rpc_queue_length{service="shop"}', lambda length: length == 21)
        error = fails(client, ECHO)
        assert (error.code, error.temporary) == (111, True)
        assert 0 < int(redis.cli("PTTL", "wh:rpc:shop")) <= 120000
        gate.set()
        assert {code_of(client, command_id) for command_id in [first, *started]} == {0}
        until(lambda: call_code(client, ECHO), 0)


def test_the_breaker_opens_and_closes(rpc_hub, redis, clients):
    is_well = threading.Event()

    def sick(call):
        if is_well.is_set():
            return json_payload(1)
        raise RpcError(100)

    with RpcService(redis, "shop", methods(sick=sick)) as shop:
        hub = rpc_hub(breaker={"open": "1s"})
        client = clients(hub)
        for _ in range(20):
            assert fails(client, "shop.v1.sick").code == 100
        error = fails(client, "shop.v1.sick")
        assert (error.code, error.temporary) == (1503, True)
        assert len(shop.calls) == 20
        hub.wait_metric('wirehub_rpc_breaker_state{service="shop"}', lambda state: state == 2)
        is_well.set()
        until(lambda: call_code(client, "shop.v1.sick"), 0)
        assert len(shop.calls) == 21
        assert client.rpc("shop.v1.sick")["data"] == 1
        hub.wait_metric('wirehub_rpc_breaker_state{service="shop"}', lambda state: state == 0)


def test_timeouts_in_a_row_open_the_breaker(rpc_hub, redis, clients):
    with RpcService(redis, "shop", methods(), rules={HANG: {"timeout_ms": 100}}) as shop:
        client = clients(rpc_hub(breaker={"consecutive_timeouts": 3, "open": "60s"}))
        assert [fails(client, HANG).code for _ in range(4)] == [1504] * 3 + [1503]
        assert len(shop.calls) == 3


# Strangers


def test_calls_of_a_client_that_vanished_are_cancelled(rpc_hub, shop, clients):
    hub = rpc_hub(timeout="30s")
    client, other = clients(hub), clients(hub)
    start_all(client, HANG, range(3))
    shop.wait_calls(3)
    assert client.rpc(ECHO, 1)["data"] == 1
    client.ws.abort()
    shop.wait(lambda: len(shop.cancels) == 3)
    called = {(call["id"], call["reply"]) for call in shop.calls if call["method"] == HANG}
    assert {(cancel["id"], cancel["reply"]) for cancel in shop.cancels} == called
    assert other.rpc(ECHO, 2)["data"] == 2
    hub.wait_metric('wirehub_rpc_inflight{service="shop"}', lambda count: count == 0)


def test_garbage_on_the_reply_channel_is_counted_and_harms_nobody(rpc_hub, redis, shop, clients):
    hub = rpc_hub()
    client = clients(hub)
    assert client.rpc(ECHO, 1)["data"] == 1
    reply = shop.calls[0]["reply"]
    hanging = client.start("rpc", method=HANG)
    shop.wait_calls(2)
    call = shop.calls[1]["id"]
    connection = Connection(redis.socket_path)
    garbage = [b"", b"\xc1", b"{}", b"\x81", b"\x93\x01\x02\x03", b"\xdf\xff\xff\xff\xff",
               msgpack.packb({"id": "x"}), msgpack.packb({"id": -1})]
    for message in garbage:
        assert connection.call("PUBLISH", reply, message) == 1
    hub.wait_metric("wirehub_rpc_invalid_replies_total", lambda count: count == len(garbage))
    for made_up in (0, 1, 2**53, 2**64 - 1, call + 1, call + 2**20):
        connection.call("PUBLISH", reply, msgpack.packb({"id": made_up, "data": [1, b"1"]}))
    hub.wait_metric("wirehub_rpc_late_replies_total", lambda count: count == 6)
    answers = [{"id": call, "data": [1, b"2"]}, {"id": call, "data": [1, b"3"]}]
    connection.call("PUBLISH", reply, b"".join(map(msgpack.packb, answers)))
    assert client.wait_reply(hanging)["data"] == 2  # the first counts
    hub.wait_metric("wirehub_rpc_late_replies_total", lambda count: count == 7)
    connection.close()


@pytest.mark.parametrize("lie", [
    {"error": 7}, {"data": [1]}, {"data": [9, b"x"]}, {"data": [1, b'"not JSON']}, {"data": [1, b""]},
    {"data": [1, b"1"], "error": {"code": "x"}}, {"data": [1, b"[" * 100 + b"]" * 100]},
    {"data": [2, b"\xc1"]}, {"data": [2, b"\x81\x01"]}, {"data": [1, b"1\n2"]}], ids=repr)
def test_an_answer_that_cannot_be_read_is_100_at_once(rpc_hub, redis, clients, lie):
    with RpcService(redis, "shop", methods(), threads=0):
        client = clients(rpc_hub(timeout="60s"))
        command_id = client.start("rpc", method=ECHO)
        connection = Connection(redis.socket_path)
        call = msgpack.unpackb(connection.call("BLPOP", "wh:rpc:shop", 10)[1])
        connection.call("PUBLISH", call["reply"], msgpack.packb({"id": call["id"], **lie}))
        connection.close()
        assert code_of(client, command_id) == 100


def test_one_message_may_answer_many(rpc_hub, redis, clients):
    with RpcService(redis, "shop", methods(), threads=0) as shop:
        client = clients(rpc_hub())
        started = start_all(client, ECHO, range(50))
        connection = Connection(redis.socket_path)
        calls = [msgpack.unpackb(connection.call("BLPOP", "wh:rpc:shop", 10)[1])
                 for _ in started]
        answers = [{"id": call["id"], "data": call["params"]} for call in reversed(calls)]
        connection.call("PUBLISH", calls[0]["reply"], b"".join(map(msgpack.packb, answers)))
        connection.close()
        assert shop.calls == []
        assert [client.wait_reply(command_id)["data"] for command_id in started] == [*range(50)]


# Redis


def test_a_restart_of_redis_is_temporary_errors_and_then_works(rpc_hub, redis, clients):
    hub = rpc_hub(timeout="1s")
    client = clients(hub)
    with RpcService(redis, "shop", methods()) as shop:
        hanging = start_all(client, HANG, range(3))
        shop.wait_calls(3)
        redis.kill()
        hub.wait_log("link_down")
        error = fails(client, ECHO)
        assert (error.code, error.temporary) == (1503, True)
        assert {code_of(client, command_id) for command_id in hanging} == {1504}
    redis.restart()
    with RpcService(redis, "shop", methods()):
        until(lambda: call_code(client, ECHO, 1), 0, RETURN_SECONDS)


def test_redis_refusing_to_queue_is_1503(rpc_hub, redis, shop, clients):
    client = clients(rpc_hub())
    assert client.rpc(ECHO, 1)["data"] == 1
    redis.cli("CONFIG", "SET", "maxmemory", "1")
    error = fails(client, ECHO)
    assert (error.code, error.temporary) == (1503, True)
    redis.cli("CONFIG", "SET", "maxmemory", "0")
    assert client.rpc(ECHO, 2)["data"] == 2


def test_the_account_for_hubs_is_enough_for_calls(make_hub, redis, shop, clients):
    page = (ROOT / "docs/REDIS.md").read_text()
    line = next(line for line in page.splitlines() if "ACL SETUSER hub" in line)
    redis.cli(*shlex.split(line)[2:])
    hub = make_hub({"engine": {"redis": {"user": "hub", "password": "a-long-password"}},
                    "rpc": {"queue_limit": 2, "timeout": "60s"}}, redis=redis)
    client, other = clients(hub), clients(hub)
    assert client.rpc(ECHO, 1)["data"] == 1
    start_all(client, HANG, range(2))
    shop.wait_calls(3)
    client.ws.abort()
    shop.wait(lambda: len(shop.cancels) == 2)  # PUBLISH
    with RpcService(redis, "bank", {"bank.v1.echo": None}, threads=0):
        start_all(other, "bank.v1.echo", range(3))
        length = 'wirehub_rpc_queue_length{service="bank"}'
        hub.wait_metric(length, lambda calls: calls == 3)  # RPUSH
        assert fails(other, "bank.v1.echo").code == 111
        until(lambda: redis.cli("PTTL", "wh:rpc:bank")[:1] == b"1", True)  # PEXPIRE
        redis.cli("DEL", "wh:rpc:bank")
        hub.wait_metric(length, lambda calls: calls == 0)  # LLEN


def test_a_hung_redis_is_an_error_in_time(rpc_hub, redis, shop, clients):
    client = clients(rpc_hub())
    assert client.rpc(ECHO, 1)["data"] == 1
    redis.stop()
    try:
        codes = {code_of(client, command_id) for command_id in start_all(client, ECHO, range(20))}
    finally:
        redis.cont()
    assert codes <= {1503, 1504}
    until(lambda: call_code(client, ECHO, 1), 0, RETURN_SECONDS)


def test_a_draining_worker_lets_calls_finish(rpc_hub, redis, clients):
    gate = threading.Event()

    def slow(call):
        assert gate.wait(10)
        return json_payload("done")

    with RpcService(redis, "shop", methods(slow=slow)) as shop:
        hub = rpc_hub()
        busy, idle = clients(hub), clients(hub)
        command_id = busy.start("rpc", method="shop.v1.slow")
        shop.wait_calls(1)
        hub.send_signal(signal.SIGTERM)
        assert idle.wait_close().code == 3001
        gate.set()
        assert busy.wait_reply(command_id)["data"] == "done"
        assert busy.wait_close().code == 3001


def test_the_memory_engine_has_no_calls(make_hub, clients):
    client = clients(make_hub({"engine": {"type": "memory"}}))
    error = fails(client, ECHO)
    assert (error.code, error.temporary) == (108, False)
