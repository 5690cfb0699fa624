"""Who is let in, as what, and what a token that is not good enough is answered."""

import time

import pytest

from support import tokens
from support.client import Disconnected, JsonClient, ReplyError
from support.hub import HMAC_SECRET, Hub

SECRET_2 = "another secret that is long enough 11"


def forged(claims):
    return tokens.make(claims, SECRET_2)


def signed(claims):
    return tokens.make(claims, HMAC_SECRET)


def hours(count):
    return int(time.time()) + count * 3600


@pytest.fixture(scope="module")
def door():
    """One hub where tokens are asked for."""
    config = {"client": {"allow_anonymous_connect_without_token": False}}
    with Hub(config) as hub:
        hub.wait_ready()
        yield hub


CONNECT = [
    ("valid", lambda: signed({"sub": "ann", "exp": hours(1)}), None),
    ("for ever", lambda: signed({"sub": "ann"}), None),
    ("anonymous", lambda: signed({"iat": hours(-1)}), None),
    ("expire_at 0", lambda: signed({"sub": "ann", "exp": hours(1), "expire_at": 0}), None),
    ("expired", lambda: signed({"sub": "ann", "exp": hours(-1)}), 109),
    ("not yet valid", lambda: signed({"sub": "ann", "nbf": hours(1)}), 109),
    ("expiry of the connection past", lambda: signed({"sub": "ann", "expire_at": hours(-1)}), 110),
    ("forged", lambda: forged({"sub": "ann"}), 3500),
    ("forged and expired", lambda: forged({"sub": "ann", "exp": hours(-1)}), 3500),
    ("alg none", lambda: tokens.make({"sub": "ann"}, "", "none"), 3500),
    ("rubbish", lambda: "rubbish", 3500),
    ("of a channel", lambda: signed({"sub": "ann", "channel": "news"}), 3500),
    ("exp is text", lambda: signed({"sub": "ann", "exp": "soon"}), 3500),
    ("sub is a number", lambda: signed({"sub": 42}), 3500),
    ("absent", lambda: None, 3501),
]


@pytest.mark.parametrize("make, code", [row[1:] for row in CONNECT], ids=[r[0] for r in CONNECT])
def test_connect_with_a_token_that_is(door, make, code):
    token = make()
    with JsonClient.open(door.ws_url) as client:
        if code is None:
            result = client.connect(token=token)
            assert result["client"] and result["version"]
            return
        failure = ReplyError if code < 3000 else Disconnected
        with pytest.raises(failure) as refused:
            client.connect(token=token)
        assert refused.value.code == code
        if failure is ReplyError:
            assert not refused.value.temporary
            client.start("subscribe", channel="news")  # nothing is executed any more
            assert client.wait_close(timeout=4.0).code == 3501
            assert not client.replies


REFRESH = [
    ("valid", lambda: signed({"sub": "ann", "exp": hours(1)}), None),
    ("for ever", lambda: signed({"sub": "ann"}), None),
    ("expired", lambda: signed({"sub": "ann", "exp": hours(-1)}), 3005),
    ("forged", lambda: forged({"sub": "ann", "exp": hours(1)}), 3500),
    ("of another user", lambda: signed({"sub": "bob", "exp": hours(1)}), 3500),
    ("of a channel", lambda: signed({"sub": "ann", "channel": "news"}), 3500),
    ("absent", lambda: None, 3501),
]


@pytest.mark.parametrize("make, code", [row[1:] for row in REFRESH], ids=[r[0] for r in REFRESH])
def test_refresh_with_a_token_that_is(door, make, code):
    token = make()
    with JsonClient.open(door.ws_url) as client:
        client.connect(token=signed({"sub": "ann", "exp": hours(1)}))
        if code is None:
            result = client.call("refresh", token=token)
            assert not result or (result["expires"] and 3500 < result["ttl"] <= 3600)
            return
        with pytest.raises(Disconnected) as refused:
            client.call("refresh", token=token)
        assert refused.value.code == code


SUBSCRIBE = [
    ("valid", lambda c: signed({"sub": "ann", "channel": "$p", "exp": hours(1)}), None),
    ("of this client", lambda c: signed({"sub": "ann", "channel": "$p", "client": c}), None),
    ("absent", lambda c: None, 103),
    ("expired", lambda c: signed({"sub": "ann", "channel": "$p", "exp": hours(-1)}), 109),
    ("forged", lambda c: forged({"sub": "ann", "channel": "$p"}), 103),
    ("rubbish", lambda c: "rubbish", 103),
    ("for connecting", lambda c: signed({"sub": "ann"}), 103),
    ("of another channel", lambda c: signed({"sub": "ann", "channel": "$q"}), 3500),
    ("of another user", lambda c: signed({"sub": "bob", "channel": "$p"}), 3500),
    ("of nobody", lambda c: signed({"channel": "$p"}), 3500),
    ("of another client", lambda c: signed({"sub": "ann", "channel": "$p", "client": "x"}), 3500),
]


def refused_code(call, *args, **params):
    """The code of the error reply or the close; None when the call succeeds."""
    try:
        call(*args, **params)
    except (ReplyError, Disconnected) as refused:
        return refused.code
    return None


@pytest.mark.parametrize("make, code", [r[1:] for r in SUBSCRIBE], ids=[r[0] for r in SUBSCRIBE])
def test_subscribe_with_a_token_that_is(door, make, code):
    with JsonClient.open(door.ws_url) as client:
        result = client.connect(token=signed({"sub": "ann"}))
        token = make(result["client"])
        assert refused_code(client.subscribe, "$p", token=token) == code
        if code is None or code < 3000:
            assert refused_code(client.subscribe, "news") is None  # the connection is as before


def test_subscribe_to_an_unknown_namespace_with_a_token(door):
    with JsonClient.open(door.ws_url) as client:
        client.connect(token=signed({"sub": "ann"}))
        token = signed({"sub": "ann", "channel": "$nowhere:x"})
        assert refused_code(client.subscribe, "$nowhere:x", token=token) == 102
        assert refused_code(client.subscribe, "nowhere:x") == 102


SUB_REFRESH = [
    ("valid", "$p", lambda: signed({"sub": "ann", "channel": "$p", "exp": hours(1)}), None),
    ("expired", "$p", lambda: signed({"sub": "ann", "channel": "$p", "exp": hours(-1)}), 109),
    ("forged", "$p", lambda: forged({"sub": "ann", "channel": "$p"}), 3500),
    ("of another channel", "$p", lambda: signed({"sub": "ann", "channel": "$q"}), 3500),
    ("of another user", "$p", lambda: signed({"sub": "bob", "channel": "$p"}), 3500),
    ("of no subscription", "$q", lambda: signed({"sub": "ann", "channel": "$q"}), 103),
]


@pytest.mark.parametrize("channel, make, code", [r[1:] for r in SUB_REFRESH],
                         ids=[r[0] for r in SUB_REFRESH])
def test_sub_refresh_with_a_token_that_is(door, channel, make, code):
    with JsonClient.open(door.ws_url) as client:
        client.connect(token=signed({"sub": "ann"}))
        client.subscribe("$p", token=signed({"sub": "ann", "channel": "$p", "exp": hours(1)}))
        assert refused_code(client.call, "sub_refresh", channel=channel, token=make()) == code


def test_an_expired_connection_is_closed_after_its_grace(make_hub, clients):
    hub = make_hub({"client": {"expired_close_delay": "300ms"}})
    client = clients(hub, token=hub.token("ann", exp=int(time.time()) + 2))
    refreshed = clients(hub, token=hub.token("bob", exp=int(time.time()) + 2))
    assert refreshed.call("refresh", token=hub.token("bob")) == {}
    assert client.wait_close(timeout=6.0).code == 3005
    assert refused_code(refreshed.subscribe, "news") is None


def test_connect_modes(make_hub, clients):
    insecure = make_hub({"client": {"insecure": True, "allow_anonymous_connect_without_token":
                                    False}})
    client = clients(insecure, JsonClient, "orders:live#somebody", "orders:all", "news")
    client.publish("news", 1)
    assert client.next_publication("news")["data"] == 1
    strict = make_hub({"client": {"disallow_anonymous_connection_tokens": True}})
    with pytest.raises(Disconnected) as refused:
        clients(strict, token=signed({"iat": 1}))
    assert refused.value.code == 3507
    clients(strict, JsonClient, "orders:live#ann", token=strict.token("ann"))
    named = make_hub({"client": {"token": {"user_id_claim": "uid", "audience": "hub",
                                           "issuer": "us"}}})
    claims = {"uid": "ann", "aud": ["other", "hub"], "iss": "us"}
    clients(named, JsonClient, "orders:live#ann", token=signed(claims))
    for wrong in ({"aud": "other"}, {"iss": "them"}, {"aud": None}, {"iss": None}):
        with pytest.raises(Disconnected) as refused:
            clients(named, token=signed({k: v for k, v in {**claims, **wrong}.items()
                                         if v is not None}))
        assert refused.value.code == 3500


def test_tokens_are_checked_against_the_revoked_once_redis_is_there(make_hub, redis):
    """Redis away at the start: clients are let in.  Who should not have been must come again."""
    redis.cli("HSET", "wh:revoked", "t:stolen", "0 0")
    redis.stop()
    hub = make_hub(redis=redis, ready=False)
    with JsonClient.open(hub.ws_url) as client:
        client.connect(token=hub.token("ann", jti="stolen"))
        redis.cont()
        assert client.wait_close(10).code == 3011
    hub.wait_ready()
    with JsonClient.open(hub.ws_url) as client, pytest.raises(Disconnected, match="3500"):
        client.connect(token=hub.token("ann", jti="stolen"))
    with JsonClient.open(hub.ws_url) as client:
        client.connect(token=hub.token("ann", jti="mine"))
