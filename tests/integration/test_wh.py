"""wh against a real hub: what it prints, as text and as objects, and how it ends."""

import json
import os
import re
import signal
import socket
import subprocess

import pytest

from support.rpc_service import (NO_ANSWER, RpcError, RpcService, json_payload,
                                 value_of)
from support.service import Service, wait_until
from support.wh import (CONNECT, ERROR, LOST, OK, TIMEOUT, UNAUTHORIZED, USAGE, WAIT_SECONDS, Wh,
                        binary_path)

CONFIG = {"channel": {"without_namespace": {
    "history_size": 100, "history_ttl": "300s", "force_recovery": True, "presence": True,
    "join_leave": True, "allow_publish_for_client": True, "allow_presence_for_client": True,
    "allow_presence_for_anonymous": True, "allow_history_for_client": True,
    "allow_history_for_anonymous": True}}}
CLOCK = r"\d\d:\d\d:\d\d\.\d{3}"
ENCODINGS = ("json", "msgpack", "protobuf")


@pytest.fixture
def hub(make_hub):
    return make_hub(CONFIG)


@pytest.fixture
def wh(hub, tmp_path):
    return Wh(hub, tmp_path / "config")


# sub and pub


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_is_published_is_printed(wh, encoding):
    with wh.start("-v", "-e", encoding, "sub", "news") as sub:
        sub.wait_note("subscribed to news")
        assert wh.run("-e", encoding, "pub", "news", '{"a":1.50}').stdout == ""
        assert re.fullmatch(CLOCK + r' news #1 {"a":1\.50?}', sub.line())


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_publications_are_objects_with_stable_keys(wh, encoding):
    with wh.start("-v", "--json", "-e", encoding, "sub", "news") as sub:
        sub.wait_note('"type":"subscribed"')
        (done,) = wh.objects("pub", "news", '{"a":[1,"x"]}')
        assert done["type"] == "published" and done["count"] == 1
        seen = sub.object()
    assert {name: seen[name] for name in ("type", "channel", "offset", "data", "user")} == {
        "type": "publication", "channel": "news", "offset": 1, "data": {"a": [1, "x"]}, "user": ""}
    assert seen["epoch"] and seen["client"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", seen["time"])


def test_bytes_are_base64_for_people_and_programs_and_raw_when_asked(wh):
    with wh.start("-v", "-e", "protobuf", "sub", "news") as text, \
            wh.start("-v", "--json", "-e", "protobuf", "sub", "news") as objects:
        text.wait_note("subscribed to news")
        objects.wait_note('"subscribed"')
        wh.run("-e", "protobuf", "pub", "--bytes", "news", stdin=b"\x00\xff", text=False)
        assert text.line().endswith(" news #1 base64:AP8=")
        assert objects.object()["data_b64"] == "AP8="
    with wh.start("-v", "-e", "protobuf", "sub", "--raw", "-n", "1", "news") as raw:
        raw.wait_note("subscribed to news")
        wh.run("-e", "protobuf", "pub", "--bytes", "news", "plain text")
        assert raw.line() == "plain text"


def test_count_format_and_lines(wh):
    with wh.start("-v", "sub", "-n", "3", "-f", r"%c:%o\t%d|%l", "news") as sub:
        sub.wait_note("subscribed to news")
        wh.run("pub", "--lines", "news", stdin='1\n\n"two"\r\n{"three":3}')
        assert [sub.line() for _ in range(3)] == \
            ["news:1\t1|1", 'news:2\t"two"|5', 'news:3\t{"three":3}|11']
        assert sub.wait() == OK


def test_a_template_counts(wh):
    wh.run("-q", "pub", "--count", "300", "--template", '{"i":{{i}},"t":{{ts}}}', "news")
    numbers = [item["data"]["i"] for item in wh.objects("history", "--limit", "-1", "news")
               if item["type"] == "publication"]
    assert numbers == list(range(201, 301))


def test_all_of_standard_input_is_one_payload(wh):
    wh.run("pub", "news", stdin='{\n "a": 1\n}\n')
    wh.run("pub", "--string", "news", "-", stdin='say "hi"\n')
    first, second = wh.objects("history", "news")[:2]
    assert (first["data"], second["data"]) == ({"a": 1}, 'say "hi"')


def test_pretty_spreads_payloads(wh):
    wh.run("pub", "news", '{"a":[1]}')
    assert wh.run("--pretty", "history", "news").stdout == \
        'news #1 {\n  "a": [\n    1\n  ]\n}\n'


@pytest.mark.parametrize("args", [
    ("pub", "news", "hello"), ("pub", "news", "1", "--lines"), ("pub", "news", "--template", "{{x}}"),
    ("pub", "--string", "--bytes", "news", "x"), ("sub", "-f", "%q", "news"),
    ("sub", "--since", "x", "news"), ("sub", "--since", "1:e", "a", "b"),
    ("-u", "ftp://x", "stats", "news"), ("-H", "novalue", "stats", "news"),
    ("-t", "x", "--token-file", "y", "stats", "news"), ("svc", "ls", "orders"), ("svc", "info"),
    ("rpc", "a.b", "{"), ("--ca", "/nonexistent.pem", "-u", "wss://127.0.0.1:1", "stats", "x"),
], ids=" ".join)
def test_wrong_usage_is_told_before_anything_is_sent(wh, args):
    done = wh.run(*args, status=USAGE)
    assert done.stdout == "" and done.stderr


def test_what_strangers_send_cannot_move_the_cursor(wh):
    with wh.start("-v", "-e", "protobuf", "sub", "news") as sub:
        sub.wait_note("subscribed to news")
        wh.run("-e", "protobuf", "pub", "--bytes", "news", "\x1b[2J\x7f")
        assert "\x1b" not in sub.line()


def test_wait_is_over_with_status_3(wh):
    done = wh.run("sub", "-w", "50ms", "news", status=TIMEOUT)
    assert done.stdout == "" and "0 publications" in done.stderr
    assert wh.run("-q", "sub", "-w", "50ms", "news", status=TIMEOUT).stderr == ""


def test_an_interrupt_is_a_clean_end(wh):
    with wh.start("-v", "sub", "--recover", "news") as sub:
        sub.wait_note("subscribed to news")
        wh.run("pub", "news", "1")
        sub.wait_line("#1 1")
        assert sub.interrupt() == OK
        assert re.search(r"--since 1:\S+ news", sub.wait_note("go on with"))


def test_since_goes_on_where_it_ended(wh):
    for number in range(3):
        wh.run("pub", "news", number)
    position = next(item for item in wh.objects("history", "--limit", "0", "news"))
    with wh.start("sub", "--since", f"1:{position['epoch']}", "--recover", "-n", "2",
                  "news") as sub:
        assert [line.split(" ", 1)[1] for line in (sub.line(), sub.line())] == \
            ["news #2 1", "news #3 2"]
        assert sub.wait() == OK


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_lost_continuity_is_status_6(wh, form):
    wh.run("pub", "news", "1")
    flags = ["--json"] if form == "json" else []
    done = wh.run(*flags, "sub", "--recover", "--since", "1:another", "news", status=LOST)
    assert "were lost" in done.stderr and done.stdout == ""


def test_a_reader_that_goes_away_ends_it_quietly(wh):
    reading, writing = os.pipe()
    with subprocess.Popen([str(binary_path()), "sub", "news"], env=wh.env, stdout=writing,
                          stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as sub:
        os.close(writing)
        try:
            wait_subscribers(wh, 1)
            wh.run("pub", "news", "1")
            with os.fdopen(reading) as reader:
                assert reader.readline().endswith("news #1 1\n")
            # Nobody reads, and nothing is published any more: the closed pipe alone ends it.
            assert sub.wait(WAIT_SECONDS) == OK
            assert sub.stderr.read() == ""
        finally:
            sub.kill()


def wait_subscribers(wh, count):
    wait_until(lambda: wh.objects("stats", "news")[0]["clients"] == count, "no such subscribers")


def test_a_restart_of_the_worker_is_recovered_from(make_hub, redis, tmp_path):
    hub = make_hub(CONFIG, redis=redis)
    wh = Wh(hub, tmp_path)
    with wh.start("-v", "sub", "--recover", "news") as sub:
        sub.wait_note("subscribed to news")
        wh.run("pub", "news", "1")
        sub.wait_line("#1 1")
        hub.kill_worker()
        assert re.search(CLOCK + " ~ reconnecting", sub.wait_note("reconnecting"))
        sub.wait_note("recovered 0 publications in news")
        wh.run("pub", "news", "2")
        sub.wait_line("#2 2")


def test_without_reconnecting_a_lost_connection_is_status_4(hub, wh):
    with wh.start("-v", "--no-reconnect", "sub", "news", expected=CONNECT) as sub:
        sub.wait_note("subscribed to news")
        hub.kill_worker()
        assert sub.wait() == CONNECT


# queries


def test_presence_joins_and_numbers(wh):
    with wh.start("-v", "sub", "--join-leave", "--presence", "news") as first:
        first.wait_line("news presence (anonymous)")
        with wh.start("-v", "--json", "sub", "news") as second:
            client = json.loads(second.wait_note('"type":"connected"'))["client"]
            assert re.fullmatch(rf"{CLOCK} news join \(anonymous\) {client}",
                                first.wait_line(f"join (anonymous) {client}"))
            assert wh.run("stats", "news").stdout == "2 clients, 1 user\n"
            assert wh.objects("stats", "news") == [
                {"type": "stats", "channel": "news", "clients": 2, "users": 1}]
            seen = wh.objects("presence", "news")
            assert client in [item["client"] for item in seen] and len(seen) == 2
        first.wait_line(f"leave (anonymous) {client}")


def test_history_forwards_backwards_and_its_end(wh):
    for number in (1, 2, 3):
        wh.run("pub", "news", number)
    assert wh.run("history", "news").stdout == "news #1 1\nnews #2 2\nnews #3 3\n"
    assert wh.run("history", "--reverse", "--limit", "1", "--raw", "news").stdout == "3\n"
    (end,) = wh.objects("history", "--limit", "0", "news")
    assert end["type"] == "position" and end["offset"] == 3
    since = wh.run("history", "--since", f"2:{end['epoch']}", "news")
    assert since.stdout == "news #3 3\n" and f"news ends at 3:{end['epoch']}" in since.stderr


def test_an_error_reply_is_status_1_with_its_code(make_hub, tmp_path):
    wh = Wh(make_hub(), tmp_path)
    assert re.fullmatch(r"wh history: news: 10[38] .*\n", wh.run("history", "news",
                                                                status=ERROR).stderr)
    error = json.loads(wh.run("--json", "history", "news", status=ERROR).stderr)
    assert error["type"] == "error" and error["code"] in (103, 108) and error["status"] == 1
    assert "103" in wh.run("sub", "$private", status=ERROR).stderr


# ping, watch, bench


def test_ping_counts_and_sums_up(wh):
    seen = wh.objects("ping", "-c", "3", "-i", "1ms")
    assert [item["type"] for item in seen] == ["pong", "pong", "pong", "summary"]
    assert all(item["rtt_us"] > 0 for item in seen[:3]) and seen[3]["count"] == 3
    done = wh.run("ping", "-c", "1")
    assert re.fullmatch(CLOCK + r" pong 1 \d+\.\d{3} ms\n", done.stdout)
    with wh.start("ping", "-i", "1ms") as ping:
        ping.line()
        assert ping.interrupt() == OK


def test_watch_shows_everything_on_standard_output(hub, make_hub, wh):
    token = hub.token("ann", channels=["news"])
    with wh.start("--token", token, "--json", "watch", "other") as watch:
        kinds = []
        while kinds.count("subscribed") < 2:
            kinds.append(watch.object()["type"])
        assert "connecting" in kinds and kinds.index("connected") < kinds.index("subscribed")
        wh.run("pub", "news", '"x"')
        while (item := watch.object())["type"] != "publication":
            pass
        assert (item["channel"], item["data"]) == ("news", "x")
        hub.kill_worker()
        while (item := watch.object())["type"] != "connecting":
            pass
        while watch.object()["type"] != "connected":
            pass


def test_watch_waits_for_a_server_that_is_not_there_yet(wh):
    with wh.start("-u", f"127.0.0.1:{closed_port()}", "watch") as watch:
        assert re.search(r"~ connecting", watch.line())
        assert re.search(CLOCK + " ! ", watch.line())
        assert watch.interrupt() == OK


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_bench_counts_every_delivery(wh, encoding):
    (result,) = wh.objects("-e", encoding, "bench", "--clients", "3", "--subs", "2", "--msgs", "50")
    assert result["published"] == 50 and result["received"] == 150
    assert (result["lost"], result["repeated"], result["reordered"]) == (0, 0, 0)
    assert 0 < result["p50_us"] <= result["p99_us"] <= result["max_us"]


def test_bench_tells_in_words_and_refuses_in_words(make_hub, wh, tmp_path):
    text = wh.run("bench", "--clients", "2", "--msgs", "20", "--rate", "1000").stdout
    assert "received   40 in" in text and "lost       0, repeated 0, reordered 0" in text
    closed = make_hub({"channel": {"without_namespace": {"allow_publish_for_subscriber": False,
                                                         "allow_publish_for_anonymous": False}}})
    assert "103" in Wh(closed, tmp_path).run("bench", "--msgs", "5", status=ERROR).stderr


# Connecting


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("command", [("sub", "x"), ("stats", "x"), ("pub", "x", "1"),
                                     ("rpc", "a.b"), ("ping",), ("bench",)], ids=" ".join)
def test_nobody_there_is_status_4_at_once(wh, command):
    done = wh.run("-u", f"127.0.0.1:{closed_port()}", "--timeout", "14s", *command, status=CONNECT)
    assert "cannot connect" in done.stderr and done.stdout == ""


def test_a_server_that_says_nothing_is_status_4(wh):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        wh.run("-u", f"127.0.0.1:{port}", "--timeout", "200ms", "stats", "x", status=CONNECT)


def test_the_second_url_is_tried(hub, wh):
    assert wh.run("-u", f"127.0.0.1:{closed_port()},{hub.ws_url}", "stats", "news").stdout


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_bad_token_is_status_5(hub, wh, form):
    flags = ["--json"] if form == "json" else []
    expired = hub.token("ann", exp=5)
    for token in ("rubbish", expired):
        done = wh.run(*flags, "-t", token, "stats", "news", status=UNAUTHORIZED)
        assert done.stdout == "" and token not in done.stderr
        if flags:
            assert json.loads(done.stderr.splitlines()[-1])["status"] == UNAUTHORIZED


def test_tokens_come_from_a_file_a_command_the_environment_or_a_context(hub, wh, tmp_path):
    token = hub.token("ann")
    path = tmp_path / "token"
    path.write_text(token + "\n")
    wh.run("context", "add", "mine", "-u", hub.ws_url, "--token-file", path)
    for how in ({"args": ("--token-file", path)}, {"args": ("--token-cmd", f"cat {path}; echo more")},
                {"env": {"WIREHUB_TOKEN": token}}, {"args": ("--context", "mine")}):
        with wh_sub(wh, how) as (sub, info):
            assert info["user"] == "ann", how
            assert sub.interrupt() == OK


def wh_sub(wh, how):
    """A `sub --presence --json` and the first presence that it prints."""
    class Started:
        def __enter__(self):
            env, wh.env = wh.env, {**wh.env, **how.get("env", {})}
            self.sub = wh.start(*how.get("args", ()), "--json", "sub", "--presence", "news")
            wh.env = env
            return self.sub.__enter__(), self.sub.object()

        def __exit__(self, *what):
            return self.sub.__exit__(*what)

    return Started()


@pytest.mark.parametrize("command", ["exit 3", "true", "cat /nonexistent"])
def test_a_command_without_a_token_is_an_end(wh, command):
    done = wh.run("--token-cmd", command, "--timeout", "14s", "stats", "news", status=None)
    assert done.stdout == "" and "token" in done.stderr


def test_every_frame_is_shown_with_vv_and_no_token_is(hub, wh):
    token = hub.token("ann")
    done = wh.run("-vv", "-t", token, "stats", "news")
    assert "wire." in done.stderr and token not in done.stderr


# rpc and services


@pytest.fixture
def shop(redis):
    def refuse(_):
        raise RpcError(409, "sold out")

    methods = {"shop.v1.echo": lambda call: json_payload({"got": value_of(call.get("params"))}),
               "shop.v1.refuse": refuse}
    with RpcService(redis, "shop", methods) as service:
        yield service


def test_rpc_prints_the_result_or_the_error(make_hub, redis, shop, tmp_path):
    wh = Wh(make_hub(redis=redis), tmp_path)
    assert wh.run("rpc", "shop.v1.echo", '{"a":1}').stdout == '{"got": {"a": 1}}\n'
    assert wh.objects("rpc", "shop.v1.echo", "-", stdin="[1]\n") == [
        {"type": "result", "data": {"got": [1]}}]
    done = wh.run("rpc", "shop.v1.refuse", status=ERROR)
    assert done.stderr == "wh rpc: shop.v1.refuse: 409 sold out\n" and done.stdout == ""
    timed = wh.run("rpc", "--repeat", "3", "--timing", "shop.v1.echo")
    assert timed.stdout.count("\n") == 3 and "3 calls: p50" in timed.stderr


def test_an_interrupted_call_says_so(make_hub, redis, tmp_path):
    with RpcService(redis, "shop", {"shop.v1.hang": lambda call: NO_ANSWER}) as service:
        wh = Wh(make_hub(redis=redis), tmp_path)
        with wh.start("rpc", "shop.v1.hang", expected=130) as call:
            service.wait_calls(1)
            assert call.interrupt() == 128 + signal.SIGINT


def test_services_are_listed_for_admins_alone(make_hub, redis, tmp_path):
    hub = make_hub(redis=redis)
    with Service(redis) as service:
        service.wait_ready()
        admin = Wh(hub, tmp_path, env={"WIREHUB_TOKEN": hub.token("ann", roles=["admin"])})

        def list_services():
            return {item["name"]: item for item in admin.objects("svc", "ls")}

        # A hub hears of a new service a moment later.
        wait_until(lambda: "testing" in list_services(), "the service is not listed")
        listed = list_services()
        assert listed["testing"]["alive"] and listed["testing"]["version"]
        assert listed["testing"]["methods"] > 3 and listed["testing"]["instance"]
        assert re.search(r"^testing .* alive$", admin.run("svc", "ls").stdout, re.MULTILINE)
        assert re.search(r"^  testing\.v1\.echo +\w+", admin.run("svc", "info", "testing").stdout,
                         re.MULTILINE)
        assert re.search(r"^  testing\.v1\.echo +\d+", admin.run("svc", "stats", "testing").stdout,
                         re.MULTILINE)
        (info,) = admin.objects("svc", "info", "testing")
        assert info["data"]["methods"]
        assert "104" in admin.run("svc", "info", "nosuch", status=ERROR).stderr
        user = Wh(hub, tmp_path, env={"WIREHUB_TOKEN": hub.token("bob", roles=["clerk"])})
        assert "103" in user.run("svc", "ls", status=ERROR).stderr
        Wh(hub, tmp_path).run("svc", "ls", status=UNAUTHORIZED)


def test_without_redis_there_are_no_services(hub, tmp_path):
    admin = Wh(hub, tmp_path, env={"WIREHUB_TOKEN": hub.token("ann", roles=["admin"])})
    assert "108" in admin.run("svc", "ls", status=ERROR).stderr


# Colour


def test_colour_is_for_terminals_alone(wh):
    wh.run("pub", "news", "1")
    plain = {name: value for name, value in wh.env.items() if name != "NO_COLOR"}

    def on_terminal(**env):
        program = f"import pty, sys; sys.exit(pty.spawn(['{binary_path()}', 'history', 'news']))"
        return subprocess.run(["/usr/bin/python3", "-c", program], env={**plain, "TERM": "xterm", **env},
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=WAIT_SECONDS, check=False).stdout

    assert "\x1b[36mnews\x1b[0m" in on_terminal()
    assert "\x1b" not in on_terminal(NO_COLOR="1")
    assert "\x1b" not in wh.run("history", "news").stdout
