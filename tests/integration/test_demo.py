"""What stands behind the demo page (docs/DEMO.md): a worker that can be killed, a ledger that survives
it, a load, and numbers that are those of /metrics."""

import gzip
import json
import time

import pytest

from support.client import Disconnected, JsonClient, MsgpackClient, ReplyError
from support.hub import ROOT, binary_path
from support.order_service import product
from support.payment_service import GOOD
from support.redis_server import RedisServer
from support.service import Service, wait_until
from support.user_service import UserService, claims_of
from support.whole_shop import SECONDS, ShopDatabases, WholeShop
from support.ws import HandshakeError

LEDGER, LOAD, STATS, LOBBY = "demo:ledger", "demo:load", "demo:stats", "demo:lobby"
LOST = (Disconnected, ConnectionError, HandshakeError, OSError)
NAMESPACE = {
    "name": "demo", "presence": True, "join_leave": True, "allow_presence_for_subscriber": True,
    "allow_presence_for_anonymous": True, "allow_subscribe_for_client": True,
    "allow_subscribe_for_anonymous": True, "history_size": 6000, "history_ttl": "10m",
    "force_recovery": True}
CONFIG = {
    "workers": 2,
    "client": {"recovery_max_publication_limit": 6000, "queue_max_size": "4MiB"},
    "channel": {"namespaces": [NAMESPACE]},
    "demo": {"enabled": True, "dir": str(ROOT / "web-demo")},
}


@pytest.fixture
def demo_hub(make_hub, redis):
    """demo_hub(**changes of CONFIG)"""
    def start(**changes):
        return make_hub({**CONFIG, **changes}, redis=redis)

    return start


@pytest.fixture
def start_demo(redis):
    """start_demo(hub, options…): the demo service, which asks that hub for its metrics."""
    started = []

    def start(hub, **options):
        service = Service(redis, binary=binary_path().parent / "wirehub-demo",
                          options={"testing.journal": None,
                                   "hub.metrics_url": f"{hub.url}/metrics", **options},
                          env={"no_proxy": "*"})
        started.append(service)
        return service.wait_ready()

    yield start
    for service in reversed(started):
        service.close()


def connect(hub, kind=JsonClient, user="ann"):
    """Connected, on whatever worker takes it."""
    client = kind.open(hub.ws_url)
    client.connect(token=hub.token(user)) if user else client.connect()
    return client


def reconnect(hub):
    def attempt():
        try:
            return connect(hub)
        except LOST:
            return None
    return wait_until(attempt, "nobody takes the client back")


def refused(function, *args):
    with pytest.raises(ReplyError) as caught:
        function(*args)
    return caught.value


def call(client, method, params=None):
    """The first call of a service may come before its announcement has been read."""
    return client.rpc(method, {} if params is None else params)["data"]


def wait_known(client, method="demo.v1.status"):
    def is_known():
        try:
            return call(client, method)
        except ReplyError as error:
            assert error.code in (104, 1503), error
            return None
    return wait_until(is_known, f"{method} is not known")


class Ledger:
    """What one client has seen of demo:ledger, across its connections."""

    def __init__(self):
        self.epoch = None
        self.entries = []  # (offset, n)

    def subscribe(self, client):
        """The reply; what was recovered is taken."""
        position = {"recover": True, "epoch": self.epoch, "offset": self.entries[-1][0]} \
            if self.entries else {}
        answer = client.subscribe(LEDGER, **position)
        self.epoch = answer["epoch"]
        for pub in answer.get("publications", ()):
            self.take(pub)
        return answer

    def take(self, pub):
        assert abs(pub["data"]["sent_at"] / 1000 - time.time()) < 60
        self.entries.append((pub["offset"], pub["data"]["n"]))

    def read(self, client, count):
        for _ in range(count):
            self.take(client.next_publication(LEDGER))

    def read_until_lost(self, client):
        with pytest.raises(LOST):
            while True:
                self.read(client, 1)

    def assert_whole(self):
        offset, n = self.entries[0]
        assert self.entries == [(offset + i, n + i) for i in range(len(self.entries))]


# Killing a worker


@pytest.mark.parametrize("signal, exit_fields", [
    ("kill", {"signal": 9, "exit_code": -1}), ("term", {"signal": 0, "exit_code": 0})])
def test_a_killed_worker_is_replaced_and_its_client_misses_nothing(demo_hub, start_demo, signal,
                                                                   exit_fields):
    hub = demo_hub()
    start_demo(hub, **{"ledger.rate": 500})
    ledger = Ledger()
    with connect(hub) as client:
        info = call(client, "hub.v1.info")
        assert info["pid"] in hub.worker_pids and info["workers"] == 2
        assert info["connections"] == 1 and info["engine"] == "redis"
        ledger.subscribe(client)
        ledger.read(client, 50)
        answer = call(client, "hub.v1.kill", {"signal": signal})
        assert answer == {"node": info["node"], "pid": info["pid"], "signal": signal, "in_ms": 50}
        ledger.read_until_lost(client)
    hub.wait_log("worker_killed", level="info", pid=info["pid"], restart_in_ms=0, **exit_fields)
    with reconnect(hub) as client:
        assert call(client, "hub.v1.info")["node"] != info["node"]
        assert ledger.subscribe(client)["recovered"] is True
        ledger.read(client, 50)
    ledger.assert_whole()
    wait_until(lambda: len(hub.worker_pids) == 2, "the worker is not replaced")
    assert info["pid"] not in hub.worker_pids
    assert hub.metrics()["wirehub_worker_restarts_total"] == 1


def test_a_worker_that_is_killed_again_and_again_is_replaced_at_once(demo_hub):
    hub = demo_hub(workers=1)
    pids = []
    for _ in range(3):  # the third death is the second quick one in a row: a crash would have to wait
        with reconnect(hub) as client:
            def attempt(client=client):
                try:
                    return call(client, "hub.v1.kill", {"signal": "kill"})
                except ReplyError as error:
                    assert error.code == 111 and error.temporary
                    return None
            pids.append(wait_until(attempt, "no kill is allowed")["pid"])
            with pytest.raises(LOST):
                client.wait_close()
                raise Disconnected(client.disconnected)
        hub.wait_log("worker_killed", pid=pids[-1], restart_in_ms=0)
    assert len(set(pids)) == 3


def test_a_long_outage_comes_back_in_one_frame(demo_hub, start_demo):
    hub = demo_hub()
    start_demo(hub, **{"ledger.rate": 1000})
    ledger = Ledger()
    with connect(hub) as client, connect(hub, user="bob") as other:
        ledger.subscribe(client)
        ledger.read(client, 10)
        client.close()
        wait_known(other)
        wait_until(lambda: call(other, "demo.v1.status")["ledger"]["published"] > 4000, "no ledger")
    with reconnect(hub) as client:
        frames = len(client.frames)
        answer = ledger.subscribe(client)
        assert answer["recovered"] is True and len(answer["publications"]) > 3000
        assert len(client.frames) - frames <= 2  # at most one of publications beside it
        ledger.read(client, 10)
    ledger.assert_whole()


def test_an_outage_beyond_the_limit_is_told(demo_hub, start_demo):
    hub = demo_hub(client={"recovery_max_publication_limit": 100})
    start_demo(hub, **{"ledger.rate": 1000})
    ledger = Ledger()
    with connect(hub) as client, connect(hub, user="bob") as other:
        ledger.subscribe(client)
        ledger.read(client, 1)
        client.close()
        wait_known(other)
        wait_until(lambda: call(other, "demo.v1.status")["ledger"]["published"] >
                   ledger.entries[0][1] + 150, "no ledger")
    with reconnect(hub) as client:
        answer = ledger.subscribe(client)
        assert answer.get("recovered", False) is False and answer["was_recovering"] is True
        assert answer["offset"] > ledger.entries[0][0] + 100


def test_killing_needs_a_user_and_one_of_two_signals(demo_hub):
    hub = demo_hub()
    with connect(hub, user=None) as stranger, connect(hub, MsgpackClient) as ann:
        assert call(stranger, "hub.v1.info")["version"]
        assert refused(call, stranger, "hub.v1.kill", {"signal": "kill"}).code == 101
        assert refused(call, ann, "hub.v1.kill", {"signal": "stop"}).code == 107
        assert call(ann, "hub.v1.kill", {"signal": "term"})["signal"] == "term"
        again = refused(call, ann, "hub.v1.kill", {"signal": "kill"})
        assert again.code == 111 and again.temporary


def test_a_kill_by_rest_is_answered_and_done(demo_hub):
    hub = demo_hub()
    def post(method, params):
        return hub.http(f"/rpc/{method}", method="POST", data=json.dumps(params).encode(),
                        headers={"Content-Type": "application/json",
                                 "Authorization": f"Bearer {token}"})
    token = hub.token("ann")
    answer = post("hub.v1.kill", {"signal": "kill"})
    assert answer.status == 200
    pid = json.loads(answer.body)["pid"]
    again = post("hub.v1.kill", {"signal": "kill"})
    assert again.status == 429 and 1 <= int(again.headers["retry-after"]) <= 5
    hub.wait_log("worker_killed", pid=pid)


def test_without_the_demo_there_is_nothing_to_kill_with(make_hub, redis):
    hub = make_hub({"workers": 2}, redis=redis)
    with connect(hub) as client:
        for method in ("hub.v1.info", "hub.v1.kill"):
            assert refused(call, client, method, {"signal": "kill"}).code == 104
    assert hub.http("/demo/").status == 404


# Feeds


def test_the_ledger_has_no_holes_when_redis_forgets_the_scripts(demo_hub, start_demo, redis):
    hub = demo_hub()
    start_demo(hub, **{"ledger.rate": 500})
    ledger = Ledger()
    with connect(hub) as client:
        ledger.subscribe(client)
        for _ in range(5):
            ledger.read(client, 20)
            redis.cli("SCRIPT", "FLUSH")
        ledger.read(client, 50)
    ledger.assert_whole()


def test_the_feeds_go_on_when_redis_was_away(demo_hub, start_demo, redis):
    hub = demo_hub()
    service = start_demo(hub, **{"ledger.rate": 500})
    before = Ledger()
    with connect(hub) as client:
        wait_known(client)
        call(client, "demo.v1.load", {"rate": 500})
        before.subscribe(client)
        before.read(client, 50)
    redis.kill()
    service.wait_log("redis_lost", module="ledger")
    service.wait_log("redis_lost", module="load")
    redis.restart()
    service.wait_ready()
    hub.wait_ready()
    after = Ledger()
    with connect(hub) as client:
        after.subscribe(client)
        after.read(client, 50)
        client.subscribe(LOAD)
        while client.next_push()["channel"] != LOAD:
            pass
    before.assert_whole()
    after.assert_whole()
    assert after.epoch != before.epoch and after.entries[0][1] >= before.entries[-1][1]


def test_a_load_runs_while_it_is_wanted(demo_hub, start_demo):
    hub = demo_hub()
    start_demo(hub, **{"load.max_rate": 2000})
    with connect(hub) as ann, connect(hub, user="bob") as bob:
        assert wait_known(ann)["load"] == {"channel": LOAD, "rate": 0, "max_rate": 2000,
                                           "published": 0, "off_in_ms": 0}
        bob.subscribe(LOAD)
        started = call(ann, "demo.v1.load", {"rate": 2000})
        assert started["rate"] == 2000 and 0 < started["off_in_ms"] <= 30000
        numbers = [bob.next_publication(LOAD)["data"]["n"] for _ in range(3000)]
        assert numbers == list(range(1, 3001))
        assert call(bob, "demo.v1.status")["load"]["rate"] == 2000
        assert call(bob, "demo.v1.load", {"rate": 0})["off_in_ms"] == 0
        published = wait_until(lambda: is_still(ann), "the load goes on")
        while numbers[-1] < published:
            numbers.append(bob.next_publication(LOAD)["data"]["n"])
        assert numbers == list(range(1, published + 1))
        call(ann, "demo.v1.load", {"rate": 100})  # goes on where it was
        assert bob.next_publication(LOAD)["data"]["n"] == published + 1


def is_still(client):
    """How many were published, once that does not change any more."""
    before = call(client, "demo.v1.status")["load"]["published"]
    for _ in range(20):
        if call(client, "demo.v1.status")["load"]["published"] != before:
            return None
    return before


def test_a_load_that_nobody_renews_goes_off(demo_hub, start_demo):
    hub = demo_hub()
    start_demo(hub, **{"load.lifetime": "300ms"})
    with connect(hub) as client:
        wait_known(client)
        assert call(client, "demo.v1.load", {"rate": 1000})["rate"] == 1000
        wait_until(lambda: call(client, "demo.v1.status")["load"]["rate"] == 0, "it stays on")
        assert wait_until(lambda: is_still(client), "it is not still") > 0


@pytest.mark.parametrize("params", [
    {}, {"rate": 5001}, {"rate": -1}, {"rate": 1.5}, {"rate": "fast"}, {"rate": 2**64}, [], "on"])
def test_a_wrong_rate_is_refused_and_changes_nothing(demo_hub, start_demo, params):
    hub = demo_hub()
    start_demo(hub)
    with connect(hub) as client, connect(hub, user=None) as stranger:
        wait_known(client)
        call(client, "demo.v1.load", {"rate": 10})
        error = refused(call, client, "demo.v1.load", params)
        assert error.code == 107 and error.message == "rate: a whole number from 0 to 5000"
        assert refused(call, stranger, "demo.v1.load", {"rate": 1}).code == 101
        assert call(stranger, "demo.v1.status")["load"]["rate"] == 10


def test_a_load_that_was_missed_stays_missed_and_its_numbers_say_so(demo_hub, start_demo):
    hub = demo_hub()
    start_demo(hub)
    with connect(hub) as client, connect(hub, user="bob") as other:
        position = client.subscribe(LOAD)
        wait_known(other)
        call(other, "demo.v1.load", {"rate": 500})
        last = client.next_publication(LOAD)["data"]["n"]
        client.close()
        wait_until(lambda: call(other, "demo.v1.status")["load"]["published"] > last + 50,
                   "no load")
    with reconnect(hub) as client:
        again = client.subscribe(LOAD, recover=True, epoch=position["epoch"],
                                 offset=position.get("offset", 0))
        assert again["recovered"] is True and not again.get("publications")
        assert client.next_publication(LOAD)["data"]["n"] > last + 50


def test_nobody_but_the_service_writes_to_its_channels(demo_hub):
    hub = demo_hub()
    with connect(hub) as client:
        for channel in (LEDGER, LOAD, STATS):
            client.subscribe(channel)
            assert refused(client.publish, channel, {"n": 1}).code == 103


# Numbers


def total(metrics, name):
    return sum(value for series, value in metrics.items() if series.partition("{")[0] == name)


TOTALS = {"messages_sent": "wirehub_messages_sent_total",
          "publications": "wirehub_publications_received_total",
          "rpc": "wirehub_rpc_seconds_count"}


def test_stats_are_the_numbers_of_metrics_summed_over_workers(demo_hub, start_demo):
    hub = demo_hub()
    start_demo(hub)
    with connect(hub) as ann, connect(hub, user="bob") as bob, connect(hub, MsgpackClient) as eve:
        wait_known(ann)
        ann.subscribe(STATS)
        bob.subscribe(LEDGER)
        eve.subscribe(LOBBY)
        def next_stats():
            while (push := ann.next_push(timeout=SECONDS))["channel"] != STATS or "pub" not in push:
                pass
            return push["pub"]["data"]

        next_stats()  # there is something to count from
        for _ in range(20):
            call(bob, "demo.v1.status")
        before = hub.metrics()
        next_stats()  # it may have been on its way
        first, stats = next_stats(), next_stats()
        after = hub.metrics()
        told = stats["hub"]
        for gauge in ("connections", "users", "channels", "subscriptions"):
            assert told[gauge] == total(after, f"wirehub_{gauge}") > 0, gauge
        assert told["connections"] == 3 and told["subscriptions"] == 3
        assert told["worker_restarts"] == 0
        for name, series in TOTALS.items():
            assert total(before, series) <= first["hub"]["totals"][name] <= \
                told["totals"][name] <= total(after, series), name
            passed = (stats["at"] - first["at"]) / 1000
            assert told["rates"][name] == pytest.approx(
                (told["totals"][name] - first["hub"]["totals"][name]) / passed, rel=0.5, abs=1), name
        assert told["rates"]["publications"] > 0 and told["rates"]["messages_sent"] > 0
        assert told["rpc_ms"]["calls"] >= 20
        assert 0 < told["rpc_ms"]["p50"] <= told["rpc_ms"]["p99"]
        assert 0 < told["rpc_ms"]["window_ms"] < 12000
        assert stats["services"] == {"users": 0, "products": 0, "orders": 0, "payments": 0,
                                     "demo": 1}
        assert stats["ledger"]["rate"] == 50 and stats["ledger"]["published"] > 0
        assert stats["load"] == {"rate": 0, "published": 0}
        assert abs(stats["at"] / 1000 - time.time()) < 60


def test_stats_say_when_the_hub_does_not_tell(demo_hub, start_demo):
    hub = demo_hub()
    start_demo(hub, **{"hub.metrics_url": f"{hub.url}/nothing"})
    with connect(hub) as client:
        client.subscribe(STATS)
        stats = client.next_publication(STATS, timeout=SECONDS)["data"]
        assert stats["hub"] is None and stats["services"]["demo"] == 1


# People


def test_people_online_are_seen_by_their_names(demo_hub):
    hub = demo_hub()
    with connect(hub) as ann, JsonClient.open(hub.ws_url) as bob:
        ann.subscribe(LOBBY, join_leave=True)
        bob.connect(token=hub.token("u2", info={"name": "bob"}))
        bob.subscribe(LOBBY)
        while "join" not in (push := ann.next_push()) or push["join"]["info"]["user"] != "u2":
            pass
        assert push["join"]["info"]["conn_info"] == {"name": "bob"}
        people = ann.call("presence", channel=LOBBY)["presence"].values()
        assert sorted(person["user"] for person in people) == ["ann", "u2"]


@pytest.fixture(scope="module")
def shop():
    with (ShopDatabases() as databases, RedisServer() as redis,
          WholeShop(databases, redis) as whole):
        yield whole


def test_a_confirmed_order_ticks_for_strangers_without_its_customer(shop, make_hub):
    market = {"name": "market", "history_size": 100, "history_ttl": "1h", "force_recovery": True,
              "allow_subscribe_for_client": True, "allow_subscribe_for_anonymous": True}
    hub = make_hub({**CONFIG, "channel": {"namespaces": [market]}}, redis=shop.redis)
    ann = shop.register("ann")
    with connect(hub, user=None) as stranger:
        stranger.subscribe("market:ticker")
        status, order = ann.post("orders.v1.create", {
            "lines": [{"product": product("cup"), "quantity": 2}], "card": GOOD}, key="tick-1")
        assert status == 200
        sold = stranger.next_publication("market:ticker", timeout=SECONDS)["data"]
        assert sold.pop("at").endswith("Z")
        assert sold == {"product": product("cup"), "name": "Porcelain Cup, 180 ml",
                        "amount_minor": 2500, "currency": "EUR"}
        text = json.dumps(stranger.frames[-1][1].decode())
        assert ann.id not in text and order["order"] not in text


def test_a_connection_outlives_its_short_tokens(make_hub, redis, shared_postgres):
    shared_postgres.create("demo_users")
    users = UserService(redis, shared_postgres.url("demo_users"),
                        options={"token.access_ttl": "3s"})
    try:
        users.wait_ready()
        hub = make_hub({**CONFIG, "channel": {"namespaces": [
            {"name": name, "allow_user_limited_channels": True}
            for name in ("orders", "payments", "users")]}, "client": {"token": {
                "issuer": "wirehub-user", "jwks_public_endpoint": users.jwks_url}}}, redis=redis)
        wait_until(lambda: hub.http("/rpc/users.v1.login", method="POST", data=b"{}", headers={
            "Content-Type": "application/json"}).status not in (404, 503), "no users")
        account = users.register("ann@example.org")
        with JsonClient.open(hub.ws_url) as client:
            connected = client.connect(token=account["access_token"])
            assert connected["expires"] is True and 0 < connected["ttl"] <= 3
            refresh_token = account["refresh_token"]
            for _ in range(3):
                answer = hub.http("/auth/refresh", method="POST",
                                  data=json.dumps({"refresh_token": refresh_token}).encode(),
                                  headers={"Content-Type": "application/json"})
                assert answer.status == 200, answer.body
                session = json.loads(answer.body)
                users.secrets += [session["access_token"], session["refresh_token"]]
                hub.keep_secret(session["access_token"])
                refresh_token = session["refresh_token"]
                refreshed = client.call("refresh", token=session["access_token"])
                assert refreshed["expires"] is True and 0 < refreshed["ttl"] <= 3
                until = claims_of(session["access_token"])["exp"] - 1
                wait_until(lambda until=until: time.time() > until, "time stands still")
            assert time.time() > claims_of(account["access_token"])["exp"]
            assert call(client, "hub.v1.info")["connections"] == 1
    finally:
        users.close()


# The page


def test_the_page_comes_compressed_and_once(demo_hub):
    hub = demo_hub()
    plain = hub.http("/demo/")
    assert plain.status == 200 and "content-encoding" not in plain.headers
    assert "default-src 'none'" in plain.headers["content-security-policy"]
    packed = hub.http("/demo/", headers={"Accept-Encoding": "gzip, deflate, br"})
    assert packed.headers["content-encoding"] == "gzip"
    assert len(packed.body) == int(packed.headers["content-length"]) < len(plain.body)
    assert gzip.decompress(packed.body) == plain.body
    again = hub.http("/demo/", headers={"Accept-Encoding": "gzip",
                                        "If-None-Match": packed.headers["etag"]})
    assert again.status == 304 and again.body == b"" and again.headers["etag"] == \
        packed.headers["etag"]
