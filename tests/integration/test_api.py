"""The server API: every method from any node, for clients on any other.

`site` is a deployment: one hub on memory, one with Redis, one with two workers, two hubs.  Requests
go to its first hub, clients connect to its last.
"""

import base64
import json
import os
import signal
import socket
import time

import pytest

from support.client import Disconnected, JsonClient, ReplyError

KEY = "the api key of the tests 7a1e"
CONFIG = {
    "http_api": {"key": KEY},
    "channel": {
        "without_namespace": {
            "presence": True, "history_size": 100, "history_ttl": "60s",
            "force_recovery": True, "join_leave": True,
        },
        "namespaces": [
            {"name": "bare", "allow_subscribe_for_client": True},
            {"name": "json", "publication_data_format": "json_object"},
        ],
    },
}


class Site:
    def __init__(self, hubs):
        self.hubs = hubs
        self.front, self.back = hubs[0], hubs[-1]

    def post(self, method, body, hub=None, key=KEY, **headers):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        if key is not None:
            headers["X-API-Key"] = key
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return (hub or self.front).http(f"/api/{method}", method="POST", data=data, headers=names)

    def call(self, method, body=None, **options):
        response = self.post(method, body or {}, **options)
        assert response.status == 200, response
        return json.loads(response.body)

    def result(self, method, body=None, **options):
        answer = self.call(method, body, **options)
        assert "result" in answer, answer
        return answer["result"]

    def error(self, method, body=None, **options):
        answer = self.call(method, body, **options)
        assert set(answer) == {"error"} and set(answer["error"]) == {"code", "message"}, answer
        return answer["error"]["code"]

    def client(self, user="ann", kind=JsonClient, **claims):
        client = kind.open(self.back.ws_url)
        client.connect(token=self.back.token(user, **claims))
        return client


def make_site(kind, make_hub, request):
    redis = None if kind == "memory" else request.getfixturevalue("redis")
    config = {**CONFIG, "workers": 2 if kind == "two workers" else 1}
    hubs = [make_hub(config, redis=redis) for _ in range(2 if kind == "two hubs" else 1)]
    site = Site(hubs)
    nodes = 2 if kind in ("two workers", "two hubs") else 1
    wait_nodes(site, nodes)
    return site


def wait_nodes(site, count, timeout=10.0):
    """Until every node answers with as many nodes as there are."""
    deadline = time.monotonic() + timeout
    for hub in site.hubs:
        good = 0
        while good < 8:  # several in a row, for the kernel chooses the worker
            # Another worker than the one that said it is ready may still be linking.
            answer = site.call("info", hub=hub)
            nodes = answer.get("result", {"nodes": []})["nodes"]
            good = good + 1 if len(nodes) == count else 0
            assert time.monotonic() < deadline, f"not {count} nodes: {answer}"


@pytest.fixture(params=["memory", "redis", "two workers", "two hubs"])
def site(request, make_hub):
    return make_site(request.param, make_hub, request)


@pytest.fixture
def small_site(request, make_hub):
    return make_site("memory", make_hub, request)


@pytest.fixture
def pair(request, make_hub):
    return make_site("two hubs", make_hub, request)


def skip_joins(client):
    """The next push that is no join or leave."""
    while True:
        push = client.next_push()
        if "join" not in push and "leave" not in push:
            return push


# Channels


def test_a_publication_arrives_with_its_offset_and_without_author(site):
    with site.client() as client:
        epoch = client.subscribe("news")["epoch"]
        assert site.result("publish", {"channel": "news", "data": {"n": 1}, "tags": {"a": "b"}}) == {
            "offset": 1, "epoch": epoch}
        publication = skip_joins(client)["pub"]
        assert publication["data"] == {"n": 1} and publication["offset"] == 1
        assert publication["tags"] == {"a": "b"} and "info" not in publication


def test_without_history_a_publish_has_no_position(site):
    assert site.result("publish", {"channel": "bare:x", "data": 1}) == {}
    assert site.result("publish", {"channel": "news", "data": 1, "skip_history": True}) == {}
    assert site.result("history", {"channel": "news", "limit": -1})["publications"] == []


def test_the_same_idempotency_key_is_published_once(site):
    request = {"channel": "news", "data": 1, "idempotency_key": "k1"}
    first = site.result("publish", request)
    assert site.result("publish", request) == first
    assert site.result("history", {"channel": "news"})["offset"] == 1


def test_an_older_version_is_not_published(site):
    site.result("publish", {"channel": "news", "data": 2, "version": 2})
    site.result("publish", {"channel": "news", "data": 1, "version": 1})
    kept = site.result("history", {"channel": "news", "limit": -1})["publications"]
    assert [p["data"] for p in kept] == [2]


def test_bytes_are_published_and_read_as_base64(site):
    raw = base64.b64encode(b"\x00\xff\x01").decode()
    site.result("publish", {"channel": "news", "b64data": raw})
    (kept,) = site.result("history", {"channel": "news", "limit": 1})["publications"]
    assert kept == {"b64data": raw, "offset": 1}


def test_broadcast_answers_for_each_channel_in_order(site):
    channels = ["news", "nowhere:x", "bare:y", "sport"]
    responses = site.result("broadcast", {"channels": channels, "data": 1})["responses"]
    assert responses[0]["result"]["offset"] == 1 and responses[3]["result"]["offset"] == 1
    assert responses[1]["error"]["code"] == 102 and responses[2]["result"] == {}


def test_a_broadcast_to_more_channels_than_run_at_once_misses_none(site):
    channels = [f"c{i}" for i in range(500)]
    responses = site.result("broadcast", {"channels": channels, "data": 1})["responses"]
    assert [r["result"]["offset"] for r in responses] == [1] * 500


def test_history_forward_reverse_and_removed(site):
    for n in range(1, 6):
        site.result("publish", {"channel": "news", "data": n})
    epoch = site.result("history", {"channel": "news"})["epoch"]
    since = {"offset": 3, "epoch": epoch}

    def read(**query):
        result = site.result("history", {"channel": "news", **query})
        assert result["offset"] == 5
        return [p["data"] for p in result["publications"]]

    assert read() == []
    assert read(limit=-1) == [1, 2, 3, 4, 5]
    assert read(limit=2) == [1, 2]
    assert read(limit=-1, since=since) == [4, 5]
    assert read(limit=-1, reverse=True, since=since) == [2, 1]
    wrong = {"channel": "news", "since": {"offset": 3, "epoch": "other"}}
    assert site.error("history", wrong) == 112
    assert site.result("history_remove", {"channel": "news"}) == {}
    assert read(limit=-1) == []


def test_presence_shows_members_on_other_nodes(site):
    with site.client("ann", info={"n": "Ann"}) as ann, site.client("bob") as bob:
        ann.subscribe("news")
        bob.subscribe("news")
        members = site.result("presence", {"channel": "news"})["presence"]
        assert sorted(m["user"] for m in members.values()) == ["ann", "bob"]
        assert [m["conn_info"] for m in members.values() if m["user"] == "ann"] == [{"n": "Ann"}]
        assert all(name == member["client"] for name, member in members.items())
        assert site.result("presence_stats", {"channel": "news"}) == {
            "num_clients": 2, "num_users": 2}


def test_channels_counts_over_all_nodes(site):
    clients = [JsonClient.open(hub.ws_url) for hub in site.hubs for _ in range(4)]
    for client in clients:
        client.connect()
        client.subscribe("news")
    clients[0].subscribe("sport")
    everything = {"news": {"num_clients": len(clients)}, "sport": {"num_clients": 1}}
    assert site.result("channels") == {"channels": everything}
    assert site.result("channels", {"pattern": "s*"}) == {"channels": {"sport": {"num_clients": 1}}}
    assert site.result("channels", {"pattern": "?"}) == {"channels": {}}
    for client in clients:
        client.close()


def test_info_counts_every_node(site):
    with site.client() as client, site.client() as other:
        client.subscribe("news")
        other.subscribe("sport")
        nodes = site.result("info")["nodes"]
        assert len({node["uid"] for node in nodes}) == len(nodes)
        assert sum(node["num_clients"] for node in nodes) == 2
        assert sum(node["num_subs"] for node in nodes) == 2
        assert all(node["version"] and node["name"] and node["uptime"] >= 0 for node in nodes)


# Connections


def test_subscribe_pushes_the_position_and_what_was_missed(site):
    for n in (1, 2, 3):
        site.result("publish", {"channel": "news", "data": n})
    epoch = site.result("history", {"channel": "news"})["epoch"]
    with site.client() as client:
        request = {"user": "ann", "channel": "news", "data": {"hello": 1}, "info": {"x": 1},
                   "recover_since": {"offset": 1, "epoch": epoch}}
        assert site.result("subscribe", request) == {}
        push = skip_joins(client)
        assert push["channel"] == "news"
        assert push["subscribe"] == {"recoverable": True, "positioned": True, "epoch": epoch,
                                     "offset": 1, "data": {"hello": 1}}
        assert [skip_joins(client)["pub"]["data"] for _ in range(2)] == [2, 3]
        (member,) = site.result("presence", {"channel": "news"})["presence"].values()
        assert member["chan_info"] == {"x": 1}
        site.result("publish", {"channel": "news", "data": 4})
        assert skip_joins(client)["pub"]["data"] == 4
        assert site.result("subscribe", request) == {}  # again is no error, and no second push
        site.result("publish", {"channel": "news", "data": 5})
        assert skip_joins(client)["pub"]["data"] == 5
        with pytest.raises(ReplyError) as problem:
            client.subscribe("news")
        assert problem.value.code == 105


def test_override_decides_over_the_namespace(site):
    with site.client() as client:
        off = {name: {"value": False} for name in ("presence", "force_recovery", "join_leave")}
        site.result("subscribe", {"user": "ann", "channel": "news", "override": off})
        assert client.next_push() == {"channel": "news", "subscribe": {}}
        assert site.result("presence", {"channel": "news"}) == {"presence": {}}


def test_unsubscribe_ends_the_subscription_with_2000(site):
    with site.client() as client, site.client("bob") as bob:
        client.subscribe("news")
        bob.subscribe("news")
        assert site.result("unsubscribe", {"user": "ann", "channel": "news"}) == {}
        assert skip_joins(client) == {
            "channel": "news", "unsubscribe": {"code": 2000, "reason": "server unsubscribe"}}
        site.result("publish", {"channel": "news", "data": 1})
        assert skip_joins(bob)["pub"]["data"] == 1


def test_disconnect_closes_all_of_the_user_and_nobody_else(site):
    anns = [site.client() for _ in range(4)]
    with site.client("bob") as bob:
        assert site.result("disconnect", {"user": "ann"}) == {}
        for client in anns:
            close = client.wait_close()
            assert (close.code, close.reason) == (3503, "force disconnect")
        bob.subscribe("news")


def test_disconnect_with_a_code_of_its_own_spares_the_whitelist(site):
    with JsonClient.open(site.back.ws_url) as spared, JsonClient.open(site.back.ws_url) as gone:
        client_id = spared.connect(token=site.back.token("ann"))["client"]
        gone.connect(token=site.back.token("ann"))
        site.result("disconnect", {"user": "ann", "whitelist": [client_id],
                                   "disconnect": {"code": 4321, "reason": "moved away"}})
        close = gone.wait_close()
        assert (close.code, close.reason) == (4321, "moved away")
        spared.subscribe("news")
        site.result("disconnect", {"user": "ann", "client": "no such client"})
        site.result("disconnect", {"user": "ann", "session": "no such session"})
        spared.subscribe("sport")
        site.result("disconnect", {"user": "ann", "client": client_id})
        assert spared.wait_close().code == 3503


def test_refresh_pushes_the_new_end_or_ends_now(site):
    with site.client() as client:
        end = int(time.time()) + 100
        assert site.result("refresh", {"user": "ann", "expire_at": end}) == {}
        refresh = client.next_push()["refresh"]
        assert refresh["expires"] is True and 97 <= refresh["ttl"] <= 100
        site.result("refresh", {"user": "ann"})
        assert client.next_push() == {"refresh": {}}
        site.result("refresh", {"user": "ann", "expired": True})
        assert client.wait_close().code == 3005


def test_a_verb_for_nobody_succeeds(site):
    for method, more in [("subscribe", {"channel": "news"}), ("unsubscribe", {"channel": "news"}),
                         ("disconnect", {}), ("refresh", {})]:
        assert site.result(method, {"user": "nobody", **more}) == {}


# Errors, in both modes

ERRORS = [
    ("publish", {"channel": "", "data": 1}, 107, 400),
    ("publish", {"data": 1}, 107, 400),
    ("publish", {"channel": "news"}, 107, 400),
    ("publish", {"channel": "news", "data": None}, 107, 400),
    ("publish", {"channel": "news", "b64data": "%%%"}, 107, 400),
    ("publish", {"channel": "json:x", "data": [1]}, 107, 400),
    ("publish", {"channel": "n" * 256, "data": 1}, 107, 400),
    ("publish", {"channel": "bad\r\nname", "data": 1}, 107, 400),
    ("publish", {"channel": "nowhere:x", "data": 1}, 102, 404),
    ("broadcast", {"channels": [], "data": 1}, 107, 400),
    ("broadcast", {"channels": ["news"]}, 107, 400),
    ("broadcast", {"channels": ["x"] * 10001, "data": 1}, 107, 400),
    ("subscribe", {"user": "ann"}, 107, 400),
    ("subscribe", {"channel": "news"}, 107, 400),
    ("subscribe", {"user": "ann", "channel": "nowhere:x"}, 102, 404),
    ("subscribe", {"user": "ann", "channel": "news", "b64info": "!"}, 107, 400),
    ("unsubscribe", {"user": "ann", "channel": ""}, 107, 400),
    ("unsubscribe", {"user": "ann", "channel": "nowhere:x"}, 102, 404),
    ("disconnect", {}, 107, 400),
    ("disconnect", {"user": ""}, 107, 400),
    ("disconnect", {"user": "ann", "disconnect": {"code": 1000}}, 107, 400),
    ("disconnect", {"user": "ann", "disconnect": {"code": 4000, "reason": "r" * 124}}, 107, 400),
    ("refresh", {}, 107, 400),
    ("refresh", {"user": "ann", "expire_at": -1}, 107, 400),
    ("presence", {"channel": ""}, 107, 400),
    ("presence", {"channel": "bare:x"}, 108, 400),
    ("presence_stats", {"channel": "bare:x"}, 108, 400),
    ("presence_stats", {"channel": "nowhere:x"}, 102, 404),
    ("history", {"channel": ""}, 107, 400),
    ("history", {"channel": "bare:x"}, 108, 400),
    ("history", {"channel": "news", "reverse": True, "since": {"offset": 0}}, 107, 400),
    ("history", {"channel": "news", "since": {"offset": 1, "epoch": "zzzz"}}, 112, 416),
    ("history_remove", {"channel": "bare:x"}, 108, 400),
    ("rpc", {"method": ""}, 107, 400),
    ("rpc", {"method": "nothing"}, 104, 404),
    ("revoke_token", {}, 107, 400),
    ("revoke_token", {"uid": "x", "expire_at": 1}, 107, 400),
    ("invalidate_user_tokens", {"user": ""}, 107, 400),
]


def test_errors_in_both_modes(small_site):
    for method, body, code, status in ERRORS:
        assert small_site.error(method, body) == code, (method, body)
        response = small_site.post(method, body, X_Centrifugo_Error_Mode="transport")
        assert response.status == status, (method, body, response)
        error = json.loads(response.body)
        assert error["code"] == code and error["message"] and "temporary" not in error
    assert small_site.result("publish", {"channel": "news", "data": 1})["offset"] == 1


UNREADABLE = [
    b"", b" ", b"{", b"[]", b"null", b"1", b'{"channel":}', b'{"channel":5,"data":1}', b"{}{}",
    b'{"channel":"a","data":1', b'{"channel":"a\xff","data":1}', b'{"channel":["a"],"data":1}',
    b'{"channel":"a","data":NaN}', b'{"channel":"a","data":1,"tags":{"a":1}}',
    b'{"channel":"a","data":1,"version":-1}', b'{"channel":"a","data":1,"version":1.5}',
    b'{"channel":"a","data":' + b"[" * 100000 + b"]" * 100000 + b"}",
    b'{"channel":"a","data":' + b'{"a":' * 50000 + b"1" + b"}" * 50000 + b"}",
    b"\x00" * 1000,
]


def test_what_is_no_request_is_400_in_both_modes(small_site):
    for body in UNREADABLE:
        assert small_site.post("publish", body).status == 400, body[:60]
        assert small_site.post("publish", body,
                               X_Centrifugo_Error_Mode="transport").status == 400, body[:60]
    cut = json.dumps({"channel": "a", "data": {"x": ["y", 1.5, None]}, "tags": {"k": "v"}}).encode()
    for length in range(len(cut)):
        assert small_site.post("publish", cut[:length]).status == 400, cut[:length]
    assert small_site.result("channels") == {"channels": {}}


# Batch


def test_a_batch_answers_in_order(site):
    commands = [{"publish": {"channel": "news", "data": n}} for n in range(20)]
    commands += [{"presence": {"channel": "bare:x"}}, {"nothing": {}}, {}, {"publish": []},
                 {"history": {"channel": "news", "limit": 1}}, {"disconnect": {"user": "x"}}]
    replies = site.call("batch", {"commands": commands})["replies"]
    assert [r["publish"]["offset"] for r in replies[:20]] == list(range(1, 21))
    assert [r["error"]["code"] for r in replies[20:24]] == [108, 104, 104, 107]
    assert replies[24]["history"]["publications"][0]["data"] == 0
    assert replies[25] == {"disconnect": {}}


def test_a_parallel_batch_keeps_its_replies_in_place(site):
    commands = [{"publish": {"channel": f"c{n}", "data": n}} if n % 3 else {"info": {}}
                for n in range(300)]
    replies = site.call("batch", {"commands": commands, "parallel": True})["replies"]
    assert [next(iter(reply)) for reply in replies] == [next(iter(c)) for c in commands]
    assert site.call("batch", {})["replies"] == []
    assert site.error("batch", {"commands": [{}] * 10001}) == 107


# Keys


def test_only_the_key_opens_the_api(small_site):
    site = small_site
    good = [{"key": KEY}, {"key": None, "Authorization": f"apikey {KEY}"},
            {"key": None, "Authorization": f"ApiKey {KEY}"}]
    bad = [{"key": None}, {"key": ""}, {"key": "wrong"}, {"key": KEY[:-1]}, {"key": KEY + "x"},
           {"key": KEY.upper()}, {"key": "x" * 3000}, {"key": None, "Authorization": KEY},
           {"key": None, "Authorization": f"Bearer {KEY}"},
           {"key": None, "Authorization": "apikey "}, {"key": "wrong", "Authorization": f"apikey {KEY}"},
           {"key": None, "Authorization": f"Bearer {site.front.token('ann')}"}]
    for headers in good:
        assert site.post("info", {}, **headers).status == 200, headers
    refusals = {(r.status, r.body) for r in (site.post("info", {}, **h) for h in bad)}
    assert refusals == {(401, b"Unauthorized\n")}
    query = KEY.replace(" ", "%20")
    assert site.post(f"info?api_key={query}", {}, key=None).status == 200
    assert site.post("info?api_key=wrong", {}, key=None).status == 401
    assert site.post("nothing", {}, key="wrong").status == 401
    assert site.post("nothing", {}).status == 404


def test_without_a_configured_key_nobody_gets_in(make_hub):
    site = Site([make_hub({"http_api": {"key": ""}})])
    for key in (None, "", " ", "x"):
        assert site.post("info", {}, key=key).status == 401


def test_the_key_changes_with_a_reload(make_hub):
    hub = make_hub(CONFIG)
    site = Site([hub])
    mark = hub.log_mark()
    hub.reload({"http_api": {"key": "another key 5d"}})
    hub.wait_log("reloaded", since=mark)
    assert site.post("info", {}).status == 401
    assert site.post("info", {}, key="another key 5d").status == 200


# Bytes on the wire


class Raw:
    """A socket that speaks HTTP by hand."""

    def __init__(self, hub):
        self.sock = socket.create_connection(("127.0.0.1", hub.port), timeout=15)
        self.rest = b""

    def send(self, head, body=b"", path="/api/info", key=KEY):
        lines = [f"POST {path} HTTP/1.1", "Host: x", f"X-API-Key: {key}", *head]
        self.sock.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def _fill(self):
        more = self.sock.recv(65536)
        if not more:
            raise EOFError(self.rest)
        self.rest += more

    def response(self):
        while b"\r\n\r\n" not in self.rest:
            self._fill()
        head, _, self.rest = self.rest.partition(b"\r\n\r\n")
        names = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        length = int(names.get(b"content-length", 0))
        while len(self.rest) < length:
            self._fill()
        body, self.rest = self.rest[:length], self.rest[length:]
        return int(head.split()[1]), names, body

    def is_closed(self):
        try:
            while self.sock.recv(65536):
                pass
        except ConnectionResetError:
            pass
        return True


@pytest.mark.parametrize("head, status", [
    ([], 411),
    (["Content-Length:"], 400),
    (["Content-Length: -1"], 400),
    (["Content-Length: +2"], 400),
    (["Content-Length: 0x2"], 400),
    (["Content-Length: 2 2"], 400),
    (["Content-Length: 2, 2"], 400),
    (["Content-Length: 2", "Content-Length: 3"], 400),
    (["Content-Length: 99999999999999999999999999"], 400),
    (["Content-Length: 18446744073709551618"], 400),
    (["Content-Length: 1048577000"], 413),
    (["Transfer-Encoding: chunked"], 411),
    (["Transfer-Encoding: chunked", "Content-Length: 2"], 400),
    (["Transfer-Encoding: gzip, chunked"], 411),
    (["Transfer-Encoding: identity"], 411),
])
def test_a_body_of_unknown_length_is_refused_and_the_connection_closed(small_site, head, status):
    raw = Raw(small_site.front)
    raw.send(head, b"2\r\n{}\r\n0\r\n\r\n")
    if head == ["Content-Length:"]:
        status = raw.response()[0]
        assert status in (400, 411)
    else:
        assert raw.response()[0] == status
    assert raw.is_closed()


def test_a_large_body_is_read_up_to_the_limit(small_site):
    frame = b'{"channel":"news","data":"%s"}'
    fits = frame % (b"x" * (1024 * 1024 - len(frame) + 2))
    assert len(fits) == 1024 * 1024
    assert small_site.post("publish", fits).status == 200
    assert small_site.post("publish", fits + b" ").status == 413
    assert small_site.post("publish", b"x" * 8_000_000).status == 413


def test_keep_alive_serves_many_requests_on_one_connection(small_site):
    raw = Raw(small_site.front)
    for body in (b"{}", b'{"x":1}', b" {}", b"{}"):
        raw.send([f"Content-Length: {len(body)}"], body)
        status, headers, _ = raw.response()
        assert status == 200 and b"connection" not in headers
    raw.send(["Content-Length: 2"], b"{}", key="wrong")
    assert raw.response()[0] == 401
    raw.sock.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    assert raw.response()[0] == 200
    raw.send(["Content-Length: 2"], b"{}")
    assert raw.response()[0] == 200
    raw.send(["Content-Length: 0"])
    status, headers, _ = raw.response()
    assert (status, headers[b"connection"]) == (400, b"close") and raw.is_closed()


def pipeline(site, count, key=KEY):
    raw = Raw(site.front)
    bodies = [json.dumps({"channel": "news", "data": n}).encode() for n in range(count)]
    raw.sock.sendall(b"".join(
        f"POST /api/publish HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies))
    return raw


@pytest.mark.parametrize("key", [KEY, "wrong"])
def test_pipelined_requests_end_the_connection_and_are_not_executed(small_site, key):
    for number, count in enumerate((2, 3, 10, 50, 500), 1):
        raw = pipeline(small_site, count, key)
        assert raw.response()[0] == (200 if key == KEY else 401)
        try:
            while True:
                assert raw.response()[0] in (400, 401)
        except (EOFError, ConnectionResetError):
            pass
        kept = small_site.result("history", {"channel": "news"})["offset"]
        assert kept == (number if key == KEY else 0)
        assert small_site.front.http("/livez").status == 200


def test_a_body_may_come_byte_by_byte(small_site):
    raw = Raw(small_site.front)
    raw.send(["Content-Length: 9", "Expect: 100-continue"])
    assert raw.response()[0] == 100
    for byte in b'{"a": {}}':
        raw.sock.sendall(bytes([byte]))
    assert raw.response()[0] == 200


def test_a_body_that_does_not_come_is_408(small_site):
    raw = Raw(small_site.front)
    raw.send(["Content-Length: 100"], b"{")
    started = time.monotonic()
    assert raw.response()[0] == 408
    assert 8 < time.monotonic() - started < 13
    assert raw.is_closed()


def test_connections_cut_at_any_moment_leave_nothing_behind(pair):
    body = b'{"commands":[' + b",".join([b'{"info":{}}'] * 200) + b"]}"
    for length in [0, 1, len(body) // 2, len(body)] * 5:
        raw = Raw(pair.front)
        raw.send([f"Content-Length: {len(body)}"], body[:length], path="/api/batch")
        raw.sock.close()
    assert len(pair.result("info")["nodes"]) == 2


def test_other_methods_are_405(small_site):
    for method in ("GET", "PUT", "DELETE", "HEAD"):
        response = small_site.front.http("/api/info", method=method, headers={"X-API-Key": KEY})
        assert response.status in ((404, 405) if method in ("PUT", "DELETE") else (405,)), method


# Nodes


def test_a_silent_node_is_left_out_and_a_verb_says_that_it_may_not_be_done(pair):
    pid = pair.back.worker_pids[0]
    os.kill(pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        assert len(pair.result("info")["nodes"]) == 1
        assert 0.9 < time.monotonic() - started < 3
        assert pair.error("disconnect", {"user": "ann"}) == 100
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_nodes(pair, 2)


def test_a_node_that_died_is_forgotten(pair):
    pair.back.expected_exit = None
    worker = pair.back.worker_pids[0]
    os.kill(worker, signal.SIGSTOP)  # or it would say goodbye when its supervisor is gone
    pair.back.send_signal(signal.SIGKILL)
    os.kill(worker, signal.SIGKILL)
    deadline = time.monotonic() + 12
    while "error" in pair.call("disconnect", {"user": "ann"}):
        assert time.monotonic() < deadline


def test_a_node_that_stopped_is_not_waited_for(pair):
    pair.back.terminate()
    started = time.monotonic()
    assert pair.result("disconnect", {"user": "ann"}) == {}
    assert time.monotonic() - started < 0.9


# Tokens


def refused(hub, token):
    with JsonClient.open(hub.ws_url) as client:
        try:
            client.connect(token=token)
        except Disconnected as problem:
            return problem.code
        return None


def test_a_revoked_token_is_refused_on_every_node(site):
    token = site.back.token("ann", jti="t1")
    other = site.back.token("ann", jti="t2")
    assert refused(site.back, token) is None
    assert site.result("revoke_token", {"uid": "t1"}) == {}
    for _ in range(6):
        assert refused(site.back, token) == 3500
    assert refused(site.front, token) == 3500
    assert refused(site.back, other) is None


def test_tokens_of_a_user_issued_before_are_refused(site):
    now = int(time.time())
    old, new = (site.back.token("ann", iat=now + n) for n in (-10, 10))
    without, bob = site.back.token("ann"), site.back.token("bob", iat=now - 10)
    assert site.result("invalidate_user_tokens", {"user": "ann"}) == {}
    assert [refused(site.back, token) for token in (old, without, new, bob)] == [
        3500, 3500, None, None]


def test_a_revoked_token_neither_refreshes_nor_subscribes(small_site):
    site = small_site
    with site.client() as client:
        site.result("revoke_token", {"uid": "t1"})
        with pytest.raises(ReplyError) as problem:
            client.subscribe("x", token=site.back.token("ann", jti="t1", channel="x"))
        assert problem.value.code == 103
        with pytest.raises(Disconnected) as problem:
            client.call("refresh", token=site.back.token("ann", jti="t1"))
        assert problem.value.code == 3500


def test_a_revocation_ends_with_its_token(small_site):
    token = small_site.back.token("ann", jti="t1")
    small_site.result("revoke_token", {"uid": "t1", "expire_at": int(time.time()) + 2})
    assert refused(small_site.back, token) == 3500
    deadline = time.monotonic() + 5
    while refused(small_site.back, token) is not None:
        assert time.monotonic() < deadline


def test_revocations_survive_a_restart(make_hub, redis):
    first = make_hub(CONFIG, redis=redis)
    token = first.token("ann", jti="t1", iat=1000)
    bobs = first.token("bob", iat=1000)
    Site([first]).result("revoke_token", {"uid": "t1"})
    Site([first]).result("invalidate_user_tokens", {"user": "bob", "issued_before": 2000})
    first.terminate()
    assert redis.cli("HLEN", "wh:revoked") == b"2\n"
    redis.cli("HSET", "wh:revoked", "t:over", "1 0", "rubbish", "x", "t:worse", "y")
    second = make_hub(CONFIG, redis=redis)
    assert refused(second, token) == 3500 and refused(second, bobs) == 3500
    assert refused(second, second.token("bob", iat=3000)) is None
    assert redis.cli("HEXISTS", "wh:revoked", "t:over") == b"0\n"
