"""Tokens whose keys come from a JWKS endpoint, also when it is slow, dead or hostile."""

import contextlib
import threading
import time

import pytest

from support.client import Disconnected, JsonClient, ReplyError
from support.hub import run
from support.jwks_server import JwksServer, ec, ed25519, rsa


@pytest.fixture
def server():
    with JwksServer(ed25519("one")) as endpoint:
        yield endpoint


@pytest.fixture
def start(make_hub, server):
    """A hub whose connection tokens have their keys at the endpoint."""
    def start_hub(config=None, **options):
        base = {
            "client": {"token": {"jwks_public_endpoint": server.url},
                       "allow_anonymous_connect_without_token": True},
            "http_server": {"address": "127.0.0.1", "port": 0},
            "channel": {
                "without_namespace": {"allow_subscribe_for_client": True,
                                      "allow_subscribe_for_anonymous": True,
                                      "allow_publish_for_subscriber": True},
                "namespaces": [{"name": "secret"},
                               {"name": "orders", "allow_user_limited_channels": True}]},
            "drain": {"spread": "0ms"},
            "log": {"level": "info", "format": "json"},
            "workers": 1,
        }
        base["client"].update(config or {})
        return make_hub(base, defaults=False, env={"no_proxy": "*"}, **options)
    return start_hub


def connect(hub, token):
    """None, or the code with which it was refused."""
    with JsonClient.open(hub.ws_url) as client:
        try:
            client.connect(token=hub.keep_secret(token))
        except (Disconnected, ReplyError) as refusal:
            return refusal.code
    return None


@pytest.mark.parametrize("kind", [rsa, ec, ed25519])
def test_each_kind_of_key_opens_the_door_for_its_user(start, server, kind):
    key = kind("k")
    server.keys = [key]
    hub = start()
    with JsonClient.open(hub.ws_url) as client:
        client.connect(token=hub.keep_secret(key.token("ann")))
        client.subscribe("orders:live#ann")
    assert connect(hub, key.token("ann", kid="")) == 3500
    assert connect(hub, kind("k").token("ann")) == 3500  # another key of the same name
    assert connect(hub, key.token("ann", exp=int(time.time()) - 60)) == 109


def test_old_and_new_key_are_good_during_a_rotation(start, server):
    hub = start()
    old, new = server.keys[0], rsa("two")
    assert connect(hub, old.token("ann")) is None
    server.keys = [new, old]
    assert connect(hub, new.token("ann")) is None
    assert connect(hub, old.token("ann")) is None
    assert server.requests == 2


def test_a_storm_of_unknown_kids_causes_one_fetch(start, server):
    hub = start()
    good = server.keys[0]
    assert connect(hub, good.token("ann")) is None
    clients = [JsonClient.open(hub.ws_url) for _ in range(30)]
    ids = [client.start("connect", token=hub.keep_secret(good.token("eve", kid=f"unknown-{i}")))
           for i, client in enumerate(clients)]
    for client, command_id in zip(clients, ids):
        with pytest.raises(Disconnected) as refusal:
            client.wait_reply(command_id)
        assert refusal.value.code == 3500
        client.ws.abort()
    assert server.requests == 2
    assert connect(hub, good.token("eve", kid="yet-another")) == 3500
    assert connect(hub, good.token("ann")) is None
    assert server.requests == 2


def test_others_are_served_while_a_fetch_hangs(start, server):
    hub = start()
    server.wait_requests(1)
    assert connect(hub, server.keys[0].token("ann")) is None
    new = ed25519("two")
    server.keys.append(new)
    server.behaviour = "slow"
    with JsonClient.open(hub.ws_url) as waiting, JsonClient.open(hub.ws_url) as other:
        other.connect(token=hub.keep_secret(server.keys[0].token("ann")))
        other.subscribe("news")
        command_id = waiting.start("connect", token=hub.keep_secret(new.token("bob")))
        behind = waiting.start("subscribe", channel="orders:live#bob")
        server.wait_requests(2)
        longest = 0.0
        for number in range(20):
            began = time.monotonic()
            other.publish("news", number)
            longest = max(longest, time.monotonic() - began)
            assert other.next_publication()["data"] == number
        assert longest < 0.5  # the fetch hangs for a second
        assert not waiting.replies
        server.release.set()
        waiting.wait_reply(command_id)
        waiting.wait_reply(behind)


def test_a_client_that_leaves_while_its_key_is_fetched_is_forgotten(start, server):
    hub = start()
    server.wait_requests(1)
    assert connect(hub, server.keys[0].token("ann")) is None
    server.behaviour = "slow"
    new = ed25519("two")
    server.keys.append(new)
    clients = [JsonClient.open(hub.ws_url) for _ in range(5)]
    for client in clients:
        client.start("connect", token=hub.keep_secret(new.token("bob")))
    server.wait_requests(2)
    for client in clients:
        client.ws.abort()
    server.release.set()
    assert connect(hub, new.token("bob")) is None


@pytest.mark.parametrize("behaviour", ["error", "garbage", "huge", "elsewhere", "slow"])
def test_a_bad_endpoint_costs_nobody_a_known_key(start, server, behaviour):
    hub = start()
    good = server.keys[0]
    assert connect(hub, good.token("ann")) is None
    server.behaviour = behaviour
    new = ed25519("two")
    # Temporary: the client comes again.
    assert connect(hub, new.token("ann")) == 100
    assert connect(hub, good.token("ann")) is None
    mark = hub.log_mark()
    server.keys.append(new)
    server.behaviour = "good"
    server.release.set()
    hub.wait_log("fetched", timeout=15, since=mark)
    assert connect(hub, new.token("ann")) is None


def test_a_dead_endpoint_is_backed_off_and_found_again(start, server):
    server.stop()
    hub = start()
    hub.wait_log("fetch_failed")
    key = server.keys[0]
    assert connect(hub, key.token("ann")) == 100
    with JsonClient.open(hub.ws_url) as client:
        client.connect()  # anonymous clients need no key
    server.start()
    hub.wait_log("fetched", timeout=15)
    assert connect(hub, key.token("ann")) is None


def test_a_redirect_within_the_scheme_is_followed(start, server):
    server.behaviour = "redirect"
    server.keys = [ed25519("three")]
    hub = start()
    assert connect(hub, server.keys[0].token("ann")) is None


def test_subscription_tokens_may_have_an_endpoint_of_their_own(start, server):
    with JwksServer(rsa("sub")) as subs:
        hub = start({"subscription_token": {"enabled": True, "jwks_public_endpoint": subs.url}})
        with JsonClient.open(hub.ws_url) as client:
            client.connect(token=hub.keep_secret(server.keys[0].token("ann")))
            good = subs.keys[0].token("ann", channel="secret:x")
            client.subscribe("secret:x", token=hub.keep_secret(good))
            # A new key of theirs: fetched for refresh as well.
            new = ed25519("sub2")
            subs.keys.append(new)
            fresh = new.token("ann", channel="secret:x", exp=int(time.time()) + 600)
            result = client.call("sub_refresh", channel="secret:x", token=hub.keep_secret(fresh))
            assert result["expires"]
            with pytest.raises(ReplyError) as refusal:
                other = server.keys[0].token("ann", channel="secret:y")
                client.subscribe("secret:y", token=hub.keep_secret(other))
            assert refusal.value.code == 103


def test_a_connection_is_refreshed_with_a_key_that_came_later(start, server):
    hub = start()
    with JsonClient.open(hub.ws_url) as client:
        first = server.keys[0].token("ann", exp=int(time.time()) + 600)
        client.connect(token=hub.keep_secret(first))
        new = ec("two")
        server.keys = [new]
        later = new.token("ann", exp=int(time.time()) + 900)
        assert client.call("refresh", token=hub.keep_secret(later))["expires"]


def test_a_reload_keeps_the_keys_of_an_endpoint_that_is_down(start, server):
    hub = start()
    key = server.keys[0]
    assert connect(hub, key.token("ann")) is None
    server.stop()
    mark = hub.log_mark()
    hub.reload({"client": {"ping_interval": "24s"}})
    hub.wait_log("reloaded", since=mark)
    assert connect(hub, key.token("ann")) is None


def test_check_token_fetches_the_keys(tmp_path, server):
    config = tmp_path / "w.yaml"
    config.write_text(f"client: {{ token: {{ jwks_public_endpoint: '{server.url}' }} }}\n")
    key = server.keys[0]
    environment = {"no_proxy": "*"}

    def check(token):
        return run("check-token", "-c", str(config), stdin=token, env=environment)

    good = check(key.token("ann"))
    assert (good.returncode, "jwks_public_endpoint (EdDSA)" in good.stdout) == (0, True), good
    unknown = check(key.token("ann", kid="other"))
    assert (unknown.returncode, "kid" in unknown.stdout) == (1, True), unknown
    server.behaviour = "error"
    failed = check(key.token("ann"))
    assert (failed.returncode, "HTTP status 500" in failed.stderr) == (2, True), failed
    server.stop()
    assert check(key.token("ann")).returncode == 2


def call(hub, token):
    """The status of a call over REST: 501 is as far as it gets without Redis."""
    return hub.http("/rpc/shop.v1.list", method="POST", data=b"{}", headers={
        "Content-Type": "application/json",
        "Authorization": f"Bearer {hub.keep_secret(token)}"}).status


def test_rest_waits_for_a_key_too(start, server):
    hub = start()
    assert call(hub, server.keys[0].token("ann")) == 501
    server.behaviour = "slow"
    new = ed25519("two")
    server.keys.append(new)
    statuses = []
    caller = threading.Thread(target=lambda: statuses.append(call(hub, new.token("bob"))))
    caller.start()
    server.wait_requests(2)
    assert not statuses
    server.release.set()
    caller.join(10)
    assert statuses == [501]
    assert call(hub, ed25519("two").token("eve")) == 401  # another key of the same name


def test_rest_is_unavailable_while_no_key_can_be_had(start, server):
    server.stop()
    hub = start()
    assert call(hub, server.keys[0].token("ann")) == 503


def test_a_hub_ends_while_rest_waits_for_a_key(start, server):
    hub = start()
    server.wait_requests(1)
    server.behaviour = "slow"

    def try_call():
        with contextlib.suppress(OSError):
            call(hub, ed25519("three").token("bob"))

    caller = threading.Thread(target=try_call)
    caller.start()
    server.wait_requests(2)
    hub.terminate()
    caller.join(10)
