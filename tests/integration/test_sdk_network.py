"""libwirehub over the networks that people have: TLS, proxies, both at once."""

import pytest

from support.connect_proxy import ConnectProxy
from support.fault_proxy import FaultProxy
from support.tls import Authority
from support.wh import CONNECT, Wh

CONFIG = {"client": {"allow_anonymous_connect_without_token": True},
          "channel": {"without_namespace": {
              "allow_subscribe_for_client": True, "allow_subscribe_for_anonymous": True,
              "allow_publish_for_client": True, "allow_publish_for_anonymous": True}}}
BIG = '"' + "x" * 60000 + '"'


@pytest.fixture(scope="module")
def authority():
    with Authority() as made:
        yield made


@pytest.fixture
def secure(make_hub, authority):
    """The port of a hub behind TLS whose certificate is for hub.invalid."""
    hub = make_hub(CONFIG)
    certificate = authority.issue("hub.invalid")
    with FaultProxy(hub.port, tls=certificate.server_context()) as front:
        yield front


def shell(tmp_path, authority, url, **env):
    return Wh(None, tmp_path, env={"WIREHUB_URL": url, **env}), ("--ca", authority.path)


def test_tls_goes_through_a_proxy_that_alone_knows_the_name(secure, authority, tmp_path):
    names = {"hub.invalid": ("127.0.0.1", secure.port)}
    with ConnectProxy(names, auth="ann:s3cret") as proxy:
        wh, ca = shell(tmp_path, authority, "wss://hub.invalid/connection/websocket")
        with wh.start(*ca, "--proxy", proxy.url, "--json", "sub", "-n", "2", "news") as sub:
            sub.wait_note('"subscribed"')
            wh.run(*ca, "--proxy", proxy.url, "pub", "news", BIG)
            wh.run(*ca, "--proxy", proxy.url, "pub", "news", "2")
            assert sub.object()["data"] == "x" * 60000
            assert sub.object()["data"] == 2
        assert set(proxy.asked) == {"hub.invalid:443"}


def test_a_proxy_that_wants_a_password_is_told_apart(secure, authority, tmp_path):
    names = {"hub.invalid": ("127.0.0.1", secure.port)}
    with ConnectProxy(names, auth="ann:s3cret") as proxy:
        wh, ca = shell(tmp_path, authority, "wss://hub.invalid/connection/websocket")
        refused = wh.run(*ca, "--no-reconnect", "--proxy", f"http://ann:wrong@127.0.0.1:{proxy.port}",
                         "stats", "news", status=CONNECT)
        assert "407 Proxy Authentication Required" in refused.stderr
        assert "wrong" not in refused.stderr
        unknown = wh.run("--no-reconnect", "--proxy", proxy.url, "-u", "ws://elsewhere.invalid/x",
                         "stats", "news", status=CONNECT)
        assert "elsewhere.invalid:80: HTTP 502 Bad Gateway" in unknown.stderr


def test_names_of_certificates_are_checked_behind_a_proxy_too(secure, authority, tmp_path):
    names = {"other.invalid": ("127.0.0.1", secure.port)}
    with ConnectProxy(names) as proxy:
        wh, ca = shell(tmp_path, authority, "wss://other.invalid/connection/websocket")
        refused = wh.run(*ca, "--no-reconnect", "--proxy", proxy.url, "stats", "news", status=CONNECT)
        assert "hostname mismatch" in refused.stderr


def test_what_is_larger_than_any_buffer_arrives_over_tls(secure, authority, tmp_path):
    wh, ca = shell(tmp_path, authority, f"wss://127.0.0.1:{secure.port}/connection/websocket")
    insecure = ("--insecure",)
    with wh.start(*insecure, "--json", "sub", "-n", "40", "news") as sub:
        sub.wait_note('"subscribed"')
        lines = "\n".join(f'{{"n":{i},"fill":{BIG}}}' for i in range(40)) + "\n"
        wh.run(*insecure, "pub", "--lines", "news", stdin=lines)
        assert [sub.object()["data"]["n"] for _ in range(40)] == list(range(40))
    refused = wh.run(*ca, "--no-reconnect", "stats", "news", status=CONNECT)
    assert "IP address mismatch" in refused.stderr
