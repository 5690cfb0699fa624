"""Redis away, hung, refusing or talking nonsense: the hub and its clients stay, and say so."""

import contextlib
import json
import random
import time

import pytest

from support.client import JsonClient, MsgpackClient, ReplyError
from support.hub import Hub
from support.protobuf import ProtobufClient
from support.redis_server import RedisServer

ANSWER_SECONDS = 4.0  # the promise is about 2 s; the rest is for a sanitized build on a busy machine
RETURN_SECONDS = 10.0  # from the return of Redis to ready: the longest back-off and some room
KINDS = (JsonClient, MsgpackClient, ProtobufClient)
CHANNEL = "market:ticker"


def redis_check(hub):
    """What /readyz says of Redis."""
    body = json.loads(hub.http("/readyz").body)
    return body["checks"]["redis"]


def wait_redis_check(hub, text, timeout=5.0):
    deadline = time.monotonic() + timeout
    while text not in redis_check(hub):
        assert time.monotonic() < deadline, redis_check(hub)
        time.sleep(0.02)  # between polls of a bounded wait


def wait_redis_up(hub, workers, timeout=RETURN_SECONDS):
    """Every worker, not only the one that happens to answer /readyz."""
    hub.wait_metric("wirehub_redis_up", lambda up: up == workers, timeout)
    hub.wait_ready(timeout=timeout)


def assert_temporary(call, *args, within=ANSWER_SECONDS):
    """The command is answered with 100, temporary, in time: never a false success, never a hang."""
    started = time.monotonic()
    with pytest.raises(ReplyError) as refused:
        call(*args, timeout=within)
    assert (refused.value.code, refused.value.temporary) == (100, True)
    assert time.monotonic() - started < within


def assert_delivers(redis, channel, everybody, hubs_connections, value):
    """One PUBLISH of Redis reaches everybody, and nothing else came before it."""
    redis.wait_subscribers(channel, hubs_connections)
    assert redis.publish(channel, json.dumps(value)) == hubs_connections
    for client in everybody:
        data = client.next_publication(channel)["data"]
        assert (json.loads(data) if isinstance(data, bytes) else data) == value


def test_absent_at_start_clients_are_welcome_and_redis_is_found_when_it_comes(
        make_hub, redis, clients):
    redis.kill()
    hub = make_hub(redis=redis, ready=False)
    refused = hub.wait_ready(False)
    assert json.loads(refused.body)["ready"] is False
    hub.wait_log("broker_down")
    assert redis_check(hub).startswith("down ") and "refused" in redis_check(hub)
    assert hub.http("/livez").status == 200
    client = clients(hub)
    assert_temporary(client.subscribe, CHANNEL)
    redis.restart()
    hub.wait_ready(timeout=RETURN_SECONDS)
    assert redis_check(hub) == "up"
    client.subscribe(CHANNEL)
    assert_delivers(redis, CHANNEL, [client], 1, {"n": 1})


def test_hung_at_start_is_told_and_overcome(make_hub, redis, clients):
    redis.stop()
    try:
        hub = make_hub(redis=redis, ready=False)
        client = clients(hub)
        assert_temporary(client.subscribe, CHANNEL)
        wait_redis_check(hub, "no answer")
    finally:
        redis.cont()
    hub.wait_ready(timeout=RETURN_SECONDS)
    client.subscribe(CHANNEL)
    assert_delivers(redis, CHANNEL, [client], 1, {"n": 1})


def test_a_subscribe_that_waits_succeeds_when_redis_comes_in_time(make_hub, redis, clients):
    hub = make_hub(redis=redis)
    client = clients(hub)
    redis.stop()
    try:
        waiting = client.start("subscribe", channel=CHANNEL)
        hub.wait_metric("wirehub_messages_received_total", lambda count: count >= 2)
    finally:
        redis.cont()
    client.wait_reply(waiting)
    assert_delivers(redis, CHANNEL, [client], 1, {"n": 1})


def test_killed_and_restarted_clients_stay_and_are_resubscribed(make_hub, redis, clients):
    hub = make_hub({"workers": 2}, redis=redis)
    everybody = [clients(hub, kind, CHANNEL, "news") for kind in KINDS for _ in range(4)]
    holding = redis.subscribers(CHANNEL)
    mark = hub.log_mark()
    redis.kill()
    hub.wait_metric("wirehub_redis_up", lambda up: up == 0)
    assert json.loads(hub.wait_ready(False).body)["checks"]["redis"].startswith("down ")
    hub.wait_log("broker_down", since=mark)
    assert_temporary(everybody[0].publish, "news", {"n": 0})
    assert_temporary(everybody[1].subscribe, "late")

    redis.restart()
    wait_redis_up(hub, 2)
    hub.wait_log("broker_up", since=mark)
    assert_delivers(redis, CHANNEL, everybody, holding, {"n": 1})
    everybody[0].publish("news", {"n": 2})
    assert everybody[-1].next_publication("news")["data"] == b'{"n":2}'
    everybody[1].subscribe("late")
    assert hub.metrics()["wirehub_redis_reconnects_total"] == 4
    assert hub.metrics()['wirehub_connections{transport="websocket",encoding="json"}'] == 4


def test_ready_again_means_that_every_channel_is_back(make_hub, redis, clients):
    hub = make_hub(redis=redis)
    channels = [f"room{number}" for number in range(400)]
    everybody = [clients(hub) for _ in range(4)]
    for client in everybody:
        mine = channels[everybody.index(client)::4]
        ids = [client.start("subscribe", channel=channel) for channel in mine]
        for number in ids:
            client.wait_reply(number)
    redis.kill()
    hub.wait_ready(False)
    redis.restart()
    hub.wait_ready(timeout=RETURN_SECONDS)
    counts = redis.cli("PUBSUB", "NUMSUB", *(f"wh:ch:{channel}" for channel in channels))
    assert counts.split()[1::2] == [b"1"] * 400
    assert calls(redis, "subscribe") <= 6, "one by one"
    for number, channel in enumerate(channels[:8]):
        redis.publish(channel, str(number))
        assert everybody[number % 4].next_publication(channel)["data"] == number


def test_hung_redis_is_found_out_and_clients_stay(make_hub, redis, clients):
    hub = make_hub(redis=redis)
    everybody = [clients(hub, kind, CHANNEL) for kind in (JsonClient, MsgpackClient)]
    publisher = clients(hub, JsonClient, "news")
    mark = hub.log_mark()
    redis.stop()
    try:
        assert_temporary(publisher.publish, "news", "lost")
        assert_temporary(publisher.subscribe, "other")
        refused = hub.wait_ready(False)
        assert json.loads(refused.body)["checks"]["redis"].startswith("down ")
        hub.wait_log("broker_down", since=mark)
        assert hub.http("/livez").status == 200
        clients(hub)  # newcomers are welcome meanwhile
    finally:
        redis.cont()
    hub.wait_ready(timeout=RETURN_SECONDS)
    assert_delivers(redis, CHANNEL, everybody, 1, {"n": 1})
    publisher.subscribe("other")


@pytest.mark.parametrize("kind", ["pubsub", "normal"])
def test_killed_links_come_back_by_themselves(make_hub, redis, clients, kind):
    hub = make_hub(redis=redis)
    client = clients(hub, JsonClient, CHANNEL, "news")
    for number in range(3):
        mark = hub.log_mark()
        assert int(redis.cli("CLIENT", "KILL", "TYPE", kind)) >= 1
        hub.wait_log("broker_down", since=mark)
        hub.wait_log("broker_up", since=mark, timeout=RETURN_SECONDS)
        assert_delivers(redis, CHANNEL, [client], 1, {"n": number})
        client.publish("news", number)
        assert client.next_publication("news")["data"] == number
    assert hub.metrics()["wirehub_redis_reconnects_total"] == 3


def test_wrong_password_is_a_reason_and_not_the_end(make_hub, redis, clients):
    right, other = "the right one 5d2b", "another one 77aa"
    redis.cli("CONFIG", "SET", "requirepass", other)
    hub = make_hub({"engine": {"redis": {"password": right}}}, redis=redis, ready=False)
    hub.wait_log("broker_down")
    wait_redis_check(hub, "WRONGPASS")
    assert right not in redis_check(hub)
    client = clients(hub)
    assert_temporary(client.subscribe, CHANNEL)
    redis.cli("-a", other, "CONFIG", "SET", "requirepass", right)
    hub.wait_ready(timeout=RETURN_SECONDS)
    client.subscribe(CHANNEL)
    assert redis.cli("-a", right, "PUBLISH", f"wh:ch:{CHANNEL}", "5") == b"1\n"
    assert client.next_publication(CHANNEL)["data"] == 5


def test_missing_password_is_a_reason(make_hub, redis):
    redis.cli("CONFIG", "SET", "requirepass", "something")
    hub = make_hub(redis=redis, ready=False)
    wait_redis_check(hub, "NOAUTH")


def test_forbidden_channels_are_a_reason(make_hub, redis):
    redis.cli("ACL", "SETUSER", "hub", "on", ">the right one 5d2b", "~*", "+@all", "&other:*")
    login = {"user": "hub", "password": "the right one 5d2b"}
    hub = make_hub({"engine": {"redis": login}}, redis=redis, ready=False)
    wait_redis_check(hub, "NOPERM")
    redis.cli("ACL", "SETUSER", "hub", "&wh:*")
    hub.wait_ready(timeout=RETURN_SECONDS)


def test_a_unix_socket_is_found_again_as_well(make_hub, redis, clients):
    address = {"type": "redis", "redis": {"address": f"unix://{redis.socket_path}"}}
    hub = make_hub({"engine": address})
    client = clients(hub, JsonClient, CHANNEL)
    redis.kill()
    hub.wait_ready(False)
    redis.restart()
    hub.wait_ready(timeout=RETURN_SECONDS)
    assert_delivers(redis, CHANNEL, [client], 1, {"n": 1})


@pytest.mark.parametrize("setting, error", [
    (("maxmemory", "1"), "OOM"),  # PUBLISH is allowed then: nothing may change
    (("min-replicas-to-write", "1"), "NOREPLICAS"),
])
def test_a_redis_that_refuses_writes_still_carries_publications(
        make_hub, redis, clients, setting, error):
    hub = make_hub(redis=redis)
    client = clients(hub, JsonClient, "news")
    redis.cli("CONFIG", "SET", *setting)
    assert error.encode() in redis.cli("SET", "x", "y", check=False)
    client.publish("news", 1)
    assert client.next_publication("news")["data"] == 1


# What clients cause at Redis


def calls(redis, command):
    line = redis.info("commandstats").get(f"cmdstat_{command}", "calls=0,")
    return int(line.partition("calls=")[2].partition(",")[0])


def test_many_subscribers_are_one_subscribe_a_worker(make_hub, redis, clients):
    hub = make_hub({"workers": 2}, redis=redis)
    wait_redis_up(hub, 2)
    before = calls(redis, "subscribe")
    for _ in range(60):
        clients(hub, JsonClient, CHANNEL)
    workers = redis.subscribers(CHANNEL)
    assert workers in (1, 2)
    assert calls(redis, "subscribe") - before == workers
    assert hub.metrics()["wirehub_subscriptions"] == 60


def test_channels_asked_for_together_are_one_command(make_hub, redis, clients):
    hub = make_hub(redis=redis)
    client = clients(hub)
    before = calls(redis, "subscribe")
    ids = range(100, 150)
    client.send_messages(*({"id": n, "subscribe": {"channel": f"room{n}"}} for n in ids))
    for number in ids:
        client.wait_reply(number)
    assert calls(redis, "subscribe") - before <= 3


def test_churn_of_clients_does_not_reach_redis(make_hub, redis):
    hub = make_hub(redis=redis)
    before = calls(redis, "subscribe") + calls(redis, "unsubscribe")
    for _ in range(300):
        client = JsonClient.open(hub.ws_url)
        client.send_messages({"id": 1, "connect": {}}, {"id": 2, "subscribe": {"channel": CHANNEL}})
        client.wait_reply(2)
        client.ws.abort()
    # A stall of the machine may let the channel go in between; one for one it is not.
    assert calls(redis, "subscribe") + calls(redis, "unsubscribe") - before <= 6
    redis.wait_subscribers(CHANNEL, 0)
    hub.wait_metric("wirehub_channels", lambda count: count == 0)


# What comes from Redis


GARBAGE_ENVELOPES = [b"\xc1", b"\xc1\x01", b"\xc1\x7f\x80", b"\xc1\x01\xff\xff", b"\xc1\x01\x81",
                     b"\xc1\x01\xdf\xff\xff\xff\xff", b'\xc1{"n":1}', b"\xc1" + bytes(1000)]
NOT_JSON = [b"hello", b"\xff\xfe", b"{", b'{"a":1} x', b"NaN", b"'a'", b"[1,]", b'"\xed\xa0\x80"',
            b"\x00", b'{"a":1}{"b":2}', b"[" * 100 + b"]" * 100]


def test_garbage_envelopes_are_counted_and_reach_nobody(make_hub, redis, clients):
    hub = make_hub(redis=redis)
    everybody = [clients(hub, kind, CHANNEL) for kind in KINDS]
    for payload in GARBAGE_ENVELOPES:
        assert redis.publish(CHANNEL, payload) == 1
    assert_delivers(redis, CHANNEL, everybody, 1, {"n": 1})
    skipped = hub.metrics()['wirehub_publications_skipped_total{reason="invalid"}']
    assert skipped == len(GARBAGE_ENVELOPES)
    assert hub.wait_log("envelope_dropped")["channel"] == CHANNEL


@pytest.mark.parametrize("payload", NOT_JSON, ids=lambda payload: repr(payload)[:20])
def test_no_plain_payload_but_json_reaches_a_json_client(shared_hub, payload):
    hub, redis, everybody = shared_hub
    json_client, msgpack_client, protobuf_client = everybody
    name = 'wirehub_publications_skipped_total{reason="encoding"}'
    before = hub.metrics().get(name, 0)
    assert redis.publish(CHANNEL, payload) == 1
    assert msgpack_client.next_publication(CHANNEL).get("data") == payload
    assert protobuf_client.next_publication(CHANNEL).get("data") == payload
    assert hub.metrics()[name] == before + 1
    assert hub.wait_log("publication_unrepresentable")["channel"] == CHANNEL
    assert_delivers(redis, CHANNEL, [json_client, msgpack_client, protobuf_client], 1, {"ok": 1})


@pytest.fixture(scope="module")
def shared_hub():
    """One hub and one client of each encoding for tables of payloads that harm nobody."""
    with RedisServer() as redis, Hub(redis=redis) as hub, contextlib.ExitStack() as stack:
        hub.wait_ready()
        everybody = [stack.enter_context(kind.open(hub.ws_url)) for kind in KINDS]
        for client in everybody:
            client.connect()
            client.subscribe(CHANNEL)
            client.subscribe("kinds")
        yield hub, redis, everybody


# Published plainly -> what a JSON client, a MessagePack client and a Protobuf client get.
PLAIN = [
    (b'{"a":[1,2.5,"x",null,true]}', {"a": [1, 2.5, "x", None, True]}),
    (b"0", 0),
    (b"null", None),
    (b'"text"', "text"),
    (b" [1 ,\n 2 ] ", [1, 2]),
    (b'{"a":1,"a":2}', {"a": 2}),
    (b"18446744073709551615", 18446744073709551615),
    (b"-9223372036854775808", -9223372036854775808),
    (b"1.0", 1.0),
    (b"1e3", 1000.0),
    ('"\u00e4\U0001f600"'.encode(), "\u00e4\U0001f600"),
]


@pytest.mark.parametrize("payload, value", PLAIN, ids=lambda v: repr(v)[:30])
def test_plain_json_in_every_encoding(shared_hub, payload, value):
    _, redis, (json_client, msgpack_client, protobuf_client) = shared_hub
    assert redis.publish(CHANNEL, payload) == 1
    assert json_client.next_publication(CHANNEL)["data"] == value
    shown = msgpack_client.next_publication(CHANNEL)["data"]
    assert (shown, type(shown)) == (value, type(value))
    assert json.loads(protobuf_client.next_publication(CHANNEL)["data"]) == value


# Published by a client of one encoding -> as shown to JSON, MessagePack, Protobuf.
PUBLISHED = [
    (0, {"n": 1}, {"n": 1}, {"n": 1}, b'{"n":1}'),
    (0, [1, -1, 1.5, "x", None], [1, -1, 1.5, "x", None], [1, -1, 1.5, "x", None],
     b'[1,-1,1.5,"x",null]'),
    (1, {"n": 1, "s": "x"}, {"n": 1, "s": "x"}, {"n": 1, "s": "x"}, b'{"n":1,"s":"x"}'),
    (1, {1: "one"}, {"1": "one"}, {1: "one"}, b'{"1":"one"}'),
    (1, {"b": b"\x00\xff"}, {"b": "AP8="}, {"b": b"\x00\xff"}, b'{"b":"AP8="}'),
    (1, [float("inf"), 0.5], [None, 0.5], [float("inf"), 0.5], b"[null,0.5]"),
    (1, b'{"in":"bin"}', {"in": "bin"}, b'{"in":"bin"}', b'{"in":"bin"}'),
    (2, b'{"p":1}', {"p": 1}, b'{"p":1}', b'{"p":1}'),
]


@pytest.mark.parametrize("sender, data, as_json, as_msgpack, as_protobuf", PUBLISHED,
                         ids=lambda v: repr(v)[:24])
def test_a_clients_payload_in_every_encoding(
        shared_hub, sender, data, as_json, as_msgpack, as_protobuf):
    everybody = shared_hub[2]
    everybody[sender].publish("kinds", data)
    shown = [client.next_publication("kinds")["data"] for client in everybody]
    assert shown == [as_json, as_msgpack, as_protobuf]


def test_bytes_published_by_a_client_cut_the_json_subscribers_only(make_hub, redis, clients):
    hub = make_hub(redis=redis)
    json_client, msgpack_client, protobuf_client = (clients(hub, kind, "news") for kind in KINDS)
    bystander = clients(hub, JsonClient, "other")
    msgpack_client.publish("news", b"\x00\x01")
    assert msgpack_client.next_publication("news")["data"] == b"\x00\x01"
    assert protobuf_client.next_publication("news")["data"] == b"\x00\x01"
    assert json_client.wait_close().code == 3506
    assert not json_client.pushes
    bystander.publish("other", 1)
    assert bystander.next_publication("other")["data"] == 1


@pytest.mark.parametrize("size", [125, 126, 65535, 65536, 300_000, 900_000])
def test_big_payloads_arrive_whole(shared_hub, size):
    _, redis, everybody = shared_hub
    text = "x" * (size - 2)
    assert redis.publish(CHANNEL, json.dumps(text)) == 1
    for client in everybody[:2]:
        assert client.next_publication(CHANNEL)["data"] == text
    assert everybody[2].next_publication(CHANNEL)["data"] == json.dumps(text).encode()


def test_a_payload_beyond_every_queue_harms_only_those_who_cannot_take_it(
        make_hub, redis, clients):
    hub = make_hub(redis=redis)
    reader = clients(hub, JsonClient, "huge")
    others = [clients(hub, kind, CHANNEL) for kind in KINDS]
    assert redis.publish("huge", b'"' + b"x" * (20 << 20) + b'"') == 1
    assert reader.wait_close(timeout=10).code in (3008, 1006)
    assert_delivers(redis, CHANNEL, others, 1, {"n": 1})
    assert hub.metrics()['wirehub_slow_disconnects_total'] == 1


# Many hubs


def test_every_client_of_two_hubs_sees_all_once_and_in_the_same_order(make_hub, redis, clients):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    hubs = [make_hub({"workers": 2}, redis=redis) for _ in range(2)]
    for hub in hubs:
        wait_redis_up(hub, 2)
    channels = ["a", "b", "market:c"]
    readers = {channel: [] for channel in channels}
    for size in [3] + [rng.randint(1, 3) for _ in range(23)]:
        chosen = rng.sample(channels, size)
        client = clients(rng.choice(hubs), rng.choice(KINDS), *chosen)
        client.seen = {channel: [] for channel in chosen}
        for channel in chosen:
            readers[channel].append(client)
    publishers = [clients(hub, JsonClient, "a", "b") for hub in hubs]
    expected = {channel: {} for channel in channels}  # channel -> source -> numbers in order

    commands, replies = [], []
    for number in range(400):
        channel = rng.choice(channels)
        source = rng.choice(["redis", 0, 1]) if channel in ("a", "b") else "redis"
        value = {"from": str(source), "n": number}
        expected[channel].setdefault(str(source), []).append(number)
        if source == "redis":
            commands.append((f"wh:ch:{channel}", json.dumps(value)))
            if len(commands) == 20:
                redis.publish_many(commands)
                commands = []
        else:
            client = publishers[source]
            replies.append((client, client.start("publish", channel=channel, data=value)))
    redis.publish_many(commands)
    for client, command in replies:
        client.wait_reply(command)

    for channel in channels:
        total = sum(len(numbers) for numbers in expected[channel].values())
        orders = [read_channel(client, channel, total) for client in readers[channel]]
        for order in orders:
            assert order == orders[0], "two clients disagree about the order"
        for source, numbers in expected[channel].items():
            assert [n for s, n in orders[0] if s == source] == numbers


def read_channel(client, channel, count):
    """`count` publications of `channel` as (source, number); others are kept for their turn."""
    while len(client.seen[channel]) < count:
        push = client.next_push(timeout=10)
        data = push["pub"]["data"]
        value = json.loads(data) if isinstance(data, bytes) else data
        client.seen[push["channel"]].append((value["from"], value["n"]))
    return client.seen[channel]
