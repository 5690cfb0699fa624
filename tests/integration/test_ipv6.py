"""Over IPv6, end to end: a hub that listens on ::1, the library in three modes, and wh."""

import os
import socket

import pytest

from support.event_scripts import Program
from support.hub import ROOT, Hub
from support.wh import CONNECT, Wh

PROGRAM = os.environ.get("WIREHUB_TEST_EVENT_SCRIPT", str(ROOT / "build/debug/bin/event_script"))
CONFIG = {"http_server": {"address": "::1"}, "channel": {"without_namespace": {
    "allow_subscribe_for_client": True, "allow_subscribe_for_anonymous": True,
    "allow_publish_for_client": True, "allow_publish_for_anonymous": True,
    "presence": True, "allow_presence_for_client": True, "allow_presence_for_anonymous": True}}}


def has_ipv6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


pytestmark = pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")


@pytest.fixture
def hub():
    with Hub(CONFIG) as one:
        one.wait_ready()
        yield one


@pytest.mark.parametrize("mode", ["threaded", "dispatch", "loop"])
def test_the_library_connects_to_an_address_in_brackets(hub, mode):
    assert hub.ws_url.startswith("ws://[::1]:")
    program = Program((PROGRAM, mode))
    try:
        for command in ({"do": "client", "url": hub.ws_url, "encoding": "json"},
                        {"do": "subscription", "channel": "news"},
                        {"do": "subscribe", "channel": "news"}, {"do": "connect"}):
            program.command({"client": "a", **command})
        program.wait("a", {"event": "subscribed"})
        program.command({"client": "a", "do": "publish", "channel": "news", "data": 6})
        program.wait("a", {"event": "publication", "data": 6})
        program.end()
    finally:
        program.close()


@pytest.mark.parametrize("form", ["ws://[::1]:{}/connection/websocket", "[::1]:{}",
                                  "ws://[0:0:0:0:0:0:0:1]:{}"], ids=["url", "address", "long"])
def test_wh_connects_to_an_address_in_brackets(hub, tmp_path, form):
    url = form.format(hub.port)
    with Wh(None, tmp_path).start("-v", "-u", url, "sub", "news") as sub:
        sub.wait_note("subscribed to news")
        Wh(hub, tmp_path).run("pub", "news", "6")
        assert sub.line().endswith(" news 6")


def test_the_second_address_is_tried_where_the_first_refuses(hub, tmp_path):
    wh = Wh(None, tmp_path)
    both = f"ws://127.0.0.1:{hub.port},ws://[::1]:{hub.port}"
    assert wh.run("-u", both, "stats", "news").stdout == "0 clients, 0 users\n"
    wh.run("-u", f"ws://127.0.0.1:{hub.port}", "stats", "news", status=CONNECT)
