"""The hub in front of services: who may call what, how often, from which page, and how the answers
look over a socket and over REST."""

import json
import socket
import threading
import time

import msgpack
import pytest

from support.client import JsonClient, MsgpackClient, ReplyError
from support.protobuf import ProtobufClient
from support.rpc_service import (NO_ANSWER, RpcError, RpcService, json_payload, msgpack_payload,
                                 value_of)

API_KEY = "the api key of the gateway tests 90d2"
SITE = "https://shop.example"
CONFIG = {
    "http_api": {"key": API_KEY},
    "client": {"allowed_origins": [SITE, "https://*.partner.example"]},
    "rpc": {
        "methods": [
            {"name": "shop.v1.closed*", "access": "role", "roles": ["clerk", "boss"]},
            {"name": "shop.v1.mine", "access": "user"},
            {"name": "shop.v1.admin", "access": "anonymous"},
            {"name": "shop.v1.slow", "timeout": "300ms"},
        ],
        "compositions": [
            {"name": "page.v1.home", "access": "anonymous", "timeout": "400ms", "calls": [
                {"as": "cart", "method": "shop.v1.echo"},
                {"as": "who", "method": "shop.v1.stamp"},
                {"as": "broken", "method": "shop.v1.conflict"},
                {"as": "late", "method": "shop.v1.hang"},
                {"as": "mine", "method": "shop.v1.mine"},
                {"as": "gone", "method": "nobody.v1.here"},
            ]},
            {"name": "page.v1.mixed", "access": "anonymous", "calls": [
                {"as": "packed", "method": "shop.v1.packed"},
                {"as": "plain", "method": "shop.v1.echo"},
            ]},
            {"name": "page.v1.staff", "access": "role", "roles": ["clerk"], "calls": [
                {"as": "cart", "method": "shop.v1.echo"},
            ]},
            {"name": "page.v1.refused", "access": "anonymous", "calls": [
                {"as": "mine", "method": "shop.v1.mine"},
                {"as": "staff", "method": "shop.v1.closed"},
            ]},
        ],
    },
}


def fails_with(code, message="in its own words", temporary=False):
    def handler(_):
        raise RpcError(code, message, temporary)

    return handler


def stamp(call):
    """Everything that the hub says of the caller."""
    names = ("user", "client", "roles", "peer", "key", "traceparent", "tracestate")
    seen = {name: call.get(name) for name in names if call.get(name)}
    return json_payload({**seen, "meta": value_of(call.get("meta"))})


def echo(call):
    return call.get("params")


METHODS = {
    "shop.v1.echo": echo,
    "shop.v2.echo": lambda call: json_payload({"v": 2, "got": value_of(call.get("params"))}),
    "shop.v1.stamp": stamp,
    "shop.v1.packed": lambda _: msgpack_payload({"n": 1, "raw": b"\xff"}),
    "shop.v1.raw": lambda _: [0, b"\xff\xfe"],
    "shop.v1.user": stamp,
    "shop.v1.admin": stamp,
    "shop.v1.mine": stamp,
    "shop.v1.closed": stamp,
    "shop.v1.closed_too": stamp,
    "shop.v1.hang": lambda _: NO_ANSWER,
    "shop.v1.slow": lambda _: NO_ANSWER,
    "shop.v1.conflict": fails_with(409, "the key was used for something else"),
    "shop.v1.teapot": fails_with(418),
    "shop.v1.broken": fails_with(100, "internal server error", True),
    "shop.$svc.info": stamp,
}
RULES = {
    "shop.v1.user": {"access": "user"},
    "shop.v1.admin": {"access": "role", "roles": ["admin"]},
    "shop.v1.closed_too": {"access": "role", "roles": ["admin"]},
    "shop.v1.hang": {"timeout_ms": 300},
    "shop.$svc.info": {"access": "user"},
}


@pytest.fixture
def shop(redis):
    with RpcService(redis, "shop", dict(METHODS), rules=RULES, threads=4) as service:
        yield service


@pytest.fixture
def hub(make_hub, redis, shop):
    return make_hub(CONFIG, redis=redis)


def post(hub, path, body=None, *, token=None, raw=None, **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    if token is not None:
        names["Authorization"] = f"Bearer {token}"
    names.setdefault("Content-Type", "application/json")
    data = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
    return hub.http(path, method="POST", data=data, headers=names, timeout=15.0)


def rest(hub, method, body=None, **options):
    """(status, decoded body)"""
    response = post(hub, f"/rpc/{method}", body, **options)
    assert response.headers["content-type"] == "application/json", response
    return response.status, json.loads(response.body)


def over_socket(hub, method, data=None, token=None, kind=JsonClient):
    """(0 or the error's code, result or error)"""
    with kind.open(hub.ws_url) as client:
        client.connect(token=token)
        try:
            return 0, client.rpc(method, data, timeout=15.0).get("data")
        except ReplyError as error:
            return error.code, {"code": error.code, "message": error.message,
                                **({"temporary": True} if error.temporary else {})}


# Errors


@pytest.mark.parametrize("method, code, status, temporary", [
    ("shop.v1.user", 101, 401, False),
    ("shop.v1.nothing", 104, 404, False),
    ("nobody.v1.here", 104, 404, False),
    ("no method at all", 104, 404, False),
    ("shop.v1.conflict", 409, 409, False),
    ("shop.v1.teapot", 418, 418, False),
    ("shop.v1.broken", 100, 500, True),
    ("shop.v1.hang", 1504, 504, True),
    ("shop.v1.slow", 1504, 504, True),
    ("away.v1.echo", 1503, 503, True),
])
def test_an_error_is_the_same_on_both_ways_in(hub, redis, method, code, status, temporary):
    with RpcService(redis, "away", {"away.v1.echo": echo}):
        pass  # announced, and gone again
    have_status, body = rest(hub, method.replace(" ", "%20"))
    assert (have_status, body["code"], body.get("temporary", False)) == (status, code, temporary)
    assert over_socket(hub, method) == (code, body)
    assert body["message"]


def test_a_missing_role_is_403(hub):
    for method in ("shop.v1.admin", "shop.v1.closed"):
        assert rest(hub, method, token=hub.token("ann", roles=["other"]))[0] == 403
        assert over_socket(hub, method, token=hub.token("ann", roles=["other"]))[0] == 103


def test_without_redis_calls_are_not_available(make_hub):
    hub = make_hub({"http_api": {"key": API_KEY}})
    assert rest(hub, "shop.v1.echo")[0] == 501
    assert over_socket(hub, "shop.v1.echo")[0] == 108


def test_unavailable_says_when_to_come_again(hub, redis):
    with RpcService(redis, "away", {"away.v1.echo": echo}):
        pass
    response = post(hub, "/rpc/away.v1.echo")
    assert response.status == 503 and int(response.headers["retry-after"]) >= 1


# Who may


@pytest.mark.parametrize("method, anonymous, user, clerk, admin", [
    ("shop.v1.echo", 0, 0, 0, 0),
    ("shop.v1.user", 101, 0, 0, 0),
    ("shop.v1.mine", 101, 0, 0, 0),  # tightened from anonymous
    ("shop.v1.admin", 101, 103, 103, 0),  # the configuration cannot open it
    ("shop.v1.closed", 101, 103, 0, 103),  # tightened from anonymous
    ("shop.v1.closed_too", 101, 103, 103, 103),  # both rules hold
    ("shop.$svc.ping", 101, 103, 103, None),  # not announced: for the role admin
    ("shop.$svc.info", 101, 0, 0, 0),  # as announced
    ("page.v1.staff", 101, 103, 0, 103),
    ("wirehub.$svc.ls", 101, 103, 103, 0),  # the hub's own: for the role admin
])
def test_rules_of_the_configuration_only_tighten(hub, shop, method, anonymous, user, clerk, admin):
    shop.methods["shop.$svc.ping"] = stamp
    callers = [(anonymous, None), (user, hub.token("ann")), (clerk, hub.token("ann", roles=["clerk"])),
               (0 if admin is None else admin, hub.token("ann", roles=["admin"]))]
    statuses = {0: 200, 101: 401, 103: 403}
    for code, token in callers:
        assert over_socket(hub, method, {}, token)[0] == code, token
        assert rest(hub, method, {}, token=token)[0] == statuses[code], token


def test_the_hub_lists_what_is_announced(hub, shop):
    status, answer = rest(hub, "wirehub.$svc.ls", {}, token=hub.token("ann", roles=["admin"]))
    assert status == 200
    assert [(s["name"], s["methods"]) for s in answer["services"]] == [("shop", len(METHODS))]
    hub.reload({"rpc": {"methods": [{"name": "wirehub.*", "access": "role", "roles": ["boss"]}]}})
    hub.wait_log("reloaded")
    assert over_socket(hub, "wirehub.$svc.ls", {}, hub.token("ann", roles=["admin"]))[0] == 103


def test_a_reload_brings_new_rules(hub):
    assert rest(hub, "shop.v1.echo", 1) == (200, 1)
    mark = hub.log_mark()
    hub.reload({"rpc": {"methods": [{"name": "*", "access": "role", "roles": ["x"]}]}})
    hub.wait_log("reloaded", since=mark)
    assert rest(hub, "shop.v1.echo", 1)[0] == 401


def test_roles_are_those_of_the_last_token(hub):
    with JsonClient.open(hub.ws_url) as client:
        client.connect(token=hub.token("ann", roles=["clerk"], meta={"plan": "pro"}))
        first = client.rpc("shop.v1.closed")["data"]
        assert first["roles"] == ["clerk"] and first["meta"] == {"plan": "pro"}
        client.call("refresh", token=hub.token("ann"))
        with pytest.raises(ReplyError) as refused:
            client.rpc("shop.v1.closed")
        assert refused.value.code == 103
        assert "roles" not in client.rpc("shop.v1.stamp")["data"]


def test_nothing_that_a_client_sends_gets_into_its_stamp(hub):
    forged = {"user": "root", "roles": ["admin"], "meta": {"a": 1}, "client": "x", "peer": "9.9.9.9",
              "deadline_ms": 1, "reply": "wh:rpc:reply:other", "id": 7}
    token = hub.token("ann", roles=["internal", "clerk"], meta={"plan": "pro"})
    with JsonClient.open(hub.ws_url, headers={"X-User": "root", "X-Forwarded-For": "9.9.9.9"}) as c:
        session = c.connect(token=token, data=forged, headers={"user": "root"})
        seen = c.rpc("shop.v1.stamp", forged)["data"]
    assert seen == {"user": "ann", "client": session["client"], "roles": ["clerk"],
                    "peer": "127.0.0.1", "meta": {"plan": "pro"}}
    status, seen = rest(hub, "shop.v1.stamp", forged, token=token, X_User="root",
                        X_Forwarded_For="9.9.9.9", X_Roles="admin")
    assert status == 200
    assert seen == {"user": "ann", "roles": ["clerk"], "peer": "127.0.0.1", "meta": {"plan": "pro"}}


def test_headers_that_belong_to_the_call_are_passed_on(hub):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    status, seen = rest(hub, "shop.v1.stamp", {}, Idempotency_Key="k-1", traceparent=trace,
                        tracestate="a=b")
    assert status == 200
    assert seen["key"] == "k-1" and seen["tracestate"] == "a=b"
    assert seen["traceparent"].split("-")[1] == trace.split("-")[1]


def test_an_idempotency_key_that_is_too_long_is_refused_and_not_dropped(hub, shop):
    assert rest(hub, "shop.v1.echo", 1, Idempotency_Key="k" * 255)[0] == 200
    count = len(shop.calls)
    assert rest(hub, "shop.v1.echo", 1, Idempotency_Key="k" * 2000)[0] == 400
    assert len(shop.calls) == count


# Tokens of REST


def test_tokens_that_are_no_good_are_401(hub):
    now = int(time.time())
    cases = {
        "malformed": (101, "nonsense"),
        "forged": (101, hub.token("ann", secret="another secret, long enough for anything")),
        "expired": (109, hub.token("ann", exp=now - 10)),
        "not yet": (109, hub.token("ann", nbf=now + 1000)),
        "of a channel": (101, hub.token("ann", channel="news")),
    }
    for name, (code, token) in cases.items():
        response = post(hub, "/rpc/shop.v1.echo", {}, token=token)
        assert response.status == 401, name
        assert json.loads(response.body)["code"] == code, name
        assert response.headers["www-authenticate"].startswith("Bearer"), name
    for header in ("Basic YTpi", "Bearer", "Bearer ", "bearer"):
        assert rest(hub, "shop.v1.echo", {}, Authorization=header)[0] == 401, header


def test_a_scheme_is_read_in_any_case_and_a_long_token_whole(hub):
    token = hub.token("ann", meta={"padding": "x" * 3000})
    status, seen = rest(hub, "shop.v1.user", {}, Authorization=f"bEARER {token}")
    assert status == 200 and seen["user"] == "ann"


def test_a_revoked_token_calls_nothing(hub):
    token = hub.token("ann", jti="t-1")
    assert rest(hub, "shop.v1.user", {}, token=token)[0] == 200
    done = hub.http("/api/revoke_token", method="POST", data=b'{"uid":"t-1"}',
                    headers={"X-API-Key": API_KEY})
    assert done.status == 200
    assert rest(hub, "shop.v1.user", {}, token=token)[0] == 401


# Bodies


def test_messagepack_goes_in_and_comes_out(hub):
    for kind in ("application/msgpack", "application/x-msgpack"):
        response = post(hub, "/rpc/shop.v1.echo", raw=msgpack.packb({"n": [1, b"\xff"]}),
                        Content_Type=kind)
        assert response.status == 200 and response.headers["content-type"] == "application/msgpack"
        assert msgpack.unpackb(response.body) == {"n": [1, b"\xff"]}
    response = post(hub, "/rpc/shop.v1.conflict", raw=b"\xc0", Content_Type="application/msgpack")
    assert response.status == 409
    assert msgpack.unpackb(response.body) == {"code": 409,
                                              "message": "the key was used for something else"}
    response = post(hub, "/rpc/shop.v1.raw", raw=b"\x01", Content_Type="application/msgpack")
    assert msgpack.unpackb(response.body) == b"\xff\xfe"


def test_bytes_are_no_answer_to_json(hub):
    assert rest(hub, "shop.v1.raw", {})[1]["code"] == 100
    assert over_socket(hub, "shop.v1.raw", {})[0] == 100


@pytest.mark.parametrize("kind, body", [
    ("application/json", b"{"), ("application/json", b'{"a":1} x'), ("application/json", b"\xff"),
    ("application/json", b"[" * 100 + b"]" * 100), ("application/msgpack", b"\x81"),
    ("application/msgpack", b"\x01\x01"), ("application/msgpack", b"\xd4\x01\x01"),
])
def test_params_that_are_unreadable_are_400(hub, shop, kind, body):
    response = post(hub, "/rpc/shop.v1.echo", raw=body, Content_Type=kind)
    assert response.status == 400
    assert not shop.calls


def test_no_body_is_no_params(hub):
    assert rest(hub, "shop.v1.echo") == (200, None)


def test_requests_that_http_refuses(hub):
    def refused(status, **options):
        response = post(hub, **options)
        assert response.status == status, response
        assert set(json.loads(response.body)) == {"code", "message"}
        return response

    refused(404, path="/rpc/")
    refused(404, path="/auth/other")
    refused(404, path="/auth/")
    refused(415, path="/rpc/shop.v1.echo", raw=b"{}", Content_Type="text/plain")
    refused(415, path="/rpc/shop.v1.echo", raw=b"a=b",
            Content_Type="application/x-www-form-urlencoded")
    refused(413, path="/rpc/shop.v1.echo", body="x" * 70000)
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        response = hub.http("/rpc/shop.v1.echo", method=method)
        assert response.status == 405 and response.headers["allow"] == "OPTIONS, POST", method
    assert rest(hub, "shop.v1.echo", 1, Content_Type="application/json; charset=utf-8") == (200, 1)


# /auth


def test_auth_is_the_user_service_without_an_access_token(hub, redis):
    verbs = ("register", "login", "refresh", "logout")
    handlers = {f"users.v1.{verb}":
                lambda call: json_payload({"method": call["method"], "user": call.get("user", ""),
                                           "got": value_of(call["params"])}) for verb in verbs}
    expired = hub.token("ann", exp=1)
    with RpcService(redis, "users", handlers):
        for verb in verbs:
            response = post(hub, f"/auth/{verb}", {"a": verb}, token=expired)
            assert response.status == 200, response
            assert json.loads(response.body) == {"method": f"users.v1.{verb}", "user": "",
                                                 "got": {"a": verb}}


# Pages


def preflight(hub, path, origin, **headers):
    return hub.http(path, method="OPTIONS", headers={
        "Origin": origin, "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
        **{name.replace("_", "-"): value for name, value in headers.items()}})


@pytest.mark.parametrize("origin", [SITE, "https://a.partner.example", "HTTPS://SHOP.EXAMPLE"])
def test_pages_that_are_allowed_may_call(hub, origin):
    for path in ("/rpc/shop.v1.echo", "/auth/login"):
        response = preflight(hub, path, origin)
        assert response.status == 204 and response.body == b""
        assert "content-length" not in response.headers
        assert response.headers["access-control-allow-origin"] == origin
        assert response.headers["access-control-allow-methods"] == "POST"
        allowed = response.headers["access-control-allow-headers"].lower()
        assert all(name in allowed for name in ("authorization", "content-type", "idempotency-key"))
        assert response.headers["vary"] == "Origin"
        assert "access-control-allow-credentials" not in response.headers
    response = post(hub, "/rpc/shop.v1.echo", {}, Origin=origin)
    assert response.status == 200
    assert response.headers["access-control-allow-origin"] == origin
    for path, options, status in (("/rpc/shop.v1.echo", {"token": "bad"}, 401),
                                  ("/rpc/shop.v1.none", {}, 404),
                                  ("/rpc/shop.v1.echo", {"body": "x" * 70000}, 413),
                                  ("/rpc/shop.v1.echo", {"raw": b"x", "Content_Type": "a/b"}, 415)):
        response = post(hub, path, Origin=origin, **options)
        assert response.status == status
        assert response.headers["access-control-allow-origin"] == origin, status


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://shop.example.evil.example",
                                    "http://shop.example", "https://shop.example:444"])
def test_other_pages_may_not(hub, shop, origin):
    for response in (preflight(hub, "/rpc/shop.v1.echo", origin),
                     post(hub, "/rpc/shop.v1.echo", {}, Origin=origin)):
        assert response.status == 403
        assert not [name for name in response.headers if name.startswith("access-control")]
        assert response.headers["vary"] == "Origin"
    assert not shop.calls


def test_the_hub_s_own_page_may_call_and_who_is_no_page_too(hub):
    own = f"http://127.0.0.1:{hub.port}"
    assert preflight(hub, "/rpc/shop.v1.echo", own).status == 204
    assert post(hub, "/rpc/shop.v1.echo", {}, Origin=own).status == 200
    response = post(hub, "/rpc/shop.v1.echo", {})
    assert response.status == 200 and response.headers["vary"] == "Origin"
    assert "access-control-allow-origin" not in response.headers


def test_only_calls_are_for_pages(hub):
    for path in ("/api/info", "/metrics", "/readyz"):
        response = preflight(hub, path, SITE)
        assert not [name for name in response.headers if name.startswith("access-control")]


def test_with_all_origins_allowed_each_is_named(make_hub, redis, shop):
    hub = make_hub({"client": {"allowed_origins": ["*"]}}, redis=redis)
    for origin in ("https://any.example", "null"):
        response = post(hub, "/rpc/shop.v1.echo", {}, Origin=origin)
        assert response.headers["access-control-allow-origin"] == origin


# Compositions


HOME = {
    "cart": {"result": [1]},
    "broken": {"error": {"code": 409, "message": "the key was used for something else"}},
    "late": {"error": {"code": 1504, "message": "deadline exceeded", "temporary": True}},
    "mine": {"error": {"code": 101, "message": "unauthorized"}},
    "gone": {"error": {"code": 104, "message": "method not found"}},
}


@pytest.mark.parametrize("kind", [JsonClient, MsgpackClient, ProtobufClient])
def test_a_composition_has_each_result_or_error(hub, kind):
    params = {"cart": [1], "mine": {}, "unknown": 5}
    data = json.dumps(params).encode() if kind is ProtobufClient else params
    code, page = over_socket(hub, "page.v1.home", data, kind=kind)
    assert code == 0
    page = json.loads(page) if isinstance(page, bytes) else page
    who = page.pop("who")
    assert who["result"]["peer"] == "127.0.0.1"
    assert page == HOME


def test_a_composition_over_rest_is_the_same_and_stamped(hub):
    status, page = rest(hub, "page.v1.home", {"cart": [1]}, token=hub.token("ann", roles=["r"]))
    assert status == 200
    assert page["who"]["result"]["user"] == page["mine"]["result"]["user"] == "ann"
    assert page["who"]["result"]["roles"] == ["r"]
    assert page["cart"] == HOME["cart"] and page["late"] == HOME["late"]


def test_results_of_several_kinds_fit_into_one(hub):
    code, page = over_socket(hub, "page.v1.mixed", {"plain": [b"\x00"]}, kind=MsgpackClient)
    assert code == 0
    assert page == {"packed": {"result": {"n": 1, "raw": b"\xff"}}, "plain": {"result": [b"\x00"]}}
    assert rest(hub, "page.v1.mixed", {"plain": 1})[1]["plain"] == {"result": 1}


def test_a_composition_of_which_nothing_may_be_called_is_answered(hub, shop):
    refusal = {"error": {"code": 101, "message": "unauthorized"}}
    assert rest(hub, "page.v1.refused") == (200, {"mine": refusal, "staff": refusal})
    assert not shop.calls


def test_params_of_a_composition_are_an_object(hub, shop):
    for params in (5, [1], "x"):
        assert rest(hub, "page.v1.home", params)[0] == 400
    assert not shop.calls


def test_who_leaves_takes_the_calls_of_a_composition_along(hub, shop):
    client = JsonClient.open(hub.ws_url)
    client.connect()
    client.start("rpc", method="page.v1.home")
    shop.wait(lambda: any(call["method"] == "shop.v1.hang" for call in shop.calls))
    client.ws.abort()
    shop.wait(lambda: shop.cancels)


# Rates


def limited(make_hub, redis, scope, **classes):
    limits = {name: {"rate": 1, "burst": burst} for name, burst in classes.items()}
    return make_hub({"client": {"rate_limit": {scope: limits}}}, redis=redis)


def test_a_connection_has_a_rate_of_calls(make_hub, redis, shop):
    hub = limited(make_hub, redis, "connection", rpc=3)
    for _ in range(2):  # each connection has its own
        with JsonClient.open(hub.ws_url) as client:
            client.connect()
            ids = [client.start("rpc", method="shop.v1.echo", data=1) for _ in range(4)]
            for command_id in ids[:3]:
                client.wait_reply(command_id)
            with pytest.raises(ReplyError) as refused:
                client.wait_reply(ids[3])
            assert refused.value.code == 111 and refused.value.temporary
    assert hub.metrics()['wirehub_rate_limited_total{scope="connection"}'] == 2


def test_a_user_has_one_rate_over_sockets_and_rest(make_hub, redis, shop):
    hub = limited(make_hub, redis, "user", rpc=2)
    ann, bob = hub.token("ann"), hub.token("bob")
    assert over_socket(hub, "shop.v1.echo", 1, ann)[0] == 0
    assert rest(hub, "shop.v1.echo", 1, token=ann)[0] == 200
    assert over_socket(hub, "shop.v1.echo", 1, ann)[0] == 111
    response = post(hub, "/rpc/shop.v1.echo", 1, token=ann)
    assert response.status == 429
    assert json.loads(response.body) == {"code": 111, "message": "too many requests",
                                         "temporary": True}
    assert response.headers["retry-after"] == "1"
    assert rest(hub, "shop.v1.echo", 1, token=bob)[0] == 200
    assert rest(hub, "shop.v1.echo", 1)[0] == 200  # nobody in particular has no limit of a user


def test_an_address_has_one_rate_whoever_calls_from_it(make_hub, redis, shop):
    hub = limited(make_hub, redis, "address", rpc=2)
    assert rest(hub, "shop.v1.echo", 1, token=hub.token("ann"))[0] == 200
    assert rest(hub, "shop.v1.echo", 1)[0] == 200
    assert over_socket(hub, "shop.v1.echo", 1, hub.token("bob"))[0] == 111
    assert rest(hub, "shop.v1.echo", 1)[0] == 429
    assert post(hub, "/auth/login", {}).status == 429
    calls = len(shop.calls)
    assert calls == 2
    mark = hub.log_mark()
    hub.reload({"client": {"rate_limit": {"address": {"rpc": {"rate": 0}}}}})
    hub.wait_log("reloaded", since=mark)
    assert rest(hub, "shop.v1.echo", 1)[0] == 200


def test_connects_of_an_address_are_told_to_come_again(make_hub, redis):
    hub = limited(make_hub, redis, "address", connect=2)
    for _ in range(2):
        with JsonClient.open(hub.ws_url) as client:
            client.connect()
    with JsonClient.open(hub.ws_url) as client:
        with pytest.raises(ReplyError) as refused:
            client.connect()
        assert refused.value.code == 111 and refused.value.temporary


# The server, versions, what is going on meanwhile


def api_rpc(hub, body, **headers):
    response = hub.http("/api/rpc", method="POST", data=json.dumps(body).encode(), headers={
        "X-API-Key": API_KEY, **{name.replace("_", "-"): value for name, value in headers.items()}})
    return response.status, json.loads(response.body)


def test_the_server_calls_with_authority_of_its_own(hub):
    for method in ("shop.v1.stamp", "shop.v1.admin", "shop.v1.closed_too", "shop.v1.user"):
        status, answer = api_rpc(hub, {"method": method, "params": {}})
        assert (status, answer) == (200, {"result": {"data": {"roles": ["internal"], "meta": None}}})
    assert api_rpc(hub, {"method": "shop.v1.conflict"}) == (200, {
        "error": {"code": 409, "message": "the key was used for something else"}})
    assert api_rpc(hub, {"method": "no.method"})[1]["error"]["code"] == 104
    assert api_rpc(hub, {"method": "shop.v1.hang"}, X_Centrifugo_Error_Mode="transport") == (
        504, {"code": 1504, "message": "deadline exceeded"})
    assert api_rpc(hub, {"method": "shop.v1.conflict"}, X_Centrifugo_Error_Mode="transport")[0] == 409
    status, answer = api_rpc(hub, {"method": "page.v1.staff", "params": {"cart": [2]}})
    assert answer == {"result": {"data": {"cart": {"result": [2]}}}}


def test_versions_of_a_method_live_side_by_side(hub):
    assert rest(hub, "shop.v1.echo", {"a": 1}) == (200, {"a": 1})
    assert rest(hub, "shop.v2.echo", {"a": 1}) == (200, {"v": 2, "got": {"a": 1}})
    assert rest(hub, "shop.v3.echo", {"a": 1})[0] == 404


def test_a_connection_is_kept_for_the_next_call(hub):
    with socket.create_connection(("127.0.0.1", hub.port), timeout=10) as link:
        reader = link.makefile("rb")
        for number in range(3):
            body = json.dumps(number).encode()
            link.sendall(b"POST /rpc/shop.v1.echo HTTP/1.1\r\nHost: x\r\nContent-Type: "
                         b"application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            assert b" 200 " in reader.readline()
            headers = {}
            while (line := reader.readline()) != b"\r\n":
                name, _, value = line.partition(b":")
                headers[name.lower()] = value.strip()
            assert json.loads(reader.read(int(headers[b"content-length"]))) == number


def test_a_drain_waits_for_the_answer_of_a_call(make_hub, redis):
    go = threading.Event()

    def wait(_):
        go.wait(10)
        return json_payload("done")

    with RpcService(redis, "shop", {"shop.v1.wait": wait}) as shop:
        hub = make_hub({"drain": {"spread": "0ms"}}, redis=redis)
        answers = []
        caller = threading.Thread(target=lambda: answers.append(rest(hub, "shop.v1.wait")))
        caller.start()
        shop.wait_calls(1)
        mark = hub.log_mark()
        hub.send_signal(15)
        hub.wait_log("drain", since=mark)
        with pytest.raises(TimeoutError):  # it would end within milliseconds if it did not wait
            hub.wait_log("stopped", timeout=0.3, since=mark)
        go.set()
        caller.join(15)
        assert answers == [(200, "done")]


def test_who_goes_away_during_a_call_leaves_nothing_behind(hub, shop):
    with socket.create_connection(("127.0.0.1", hub.port), timeout=10) as link:
        link.sendall(b"POST /rpc/shop.v1.hang HTTP/1.1\r\nHost: x\r\nContent-Type: application/json"
                     b"\r\nContent-Length: 2\r\n\r\n{}")
        shop.wait(lambda: any(call["method"] == "shop.v1.hang" for call in shop.calls))
    assert rest(hub, "shop.v1.hang")[0] == 504  # by then the one before has ended, too
