"""wh says the same of a real Centrifugo as of our hub: every command that both servers can answer, and
their errors."""

import json
import re
import uuid

import pytest

from support.hub import HMAC_SECRET
from support.wh import ERROR, LOST, OK, UNAUTHORIZED, Wh

CLOCK = r"\d\d:\d\d:\d\d\.\d{3}"


@pytest.fixture
def name():
    """Nobody had it before."""
    return uuid.uuid4().hex[:8]


@pytest.fixture
def wh(world, tmp_path):
    return Wh(world.server, tmp_path / "config")


@pytest.fixture
def secret_file(tmp_path):
    path = tmp_path / "secret"
    path.write_text(HMAC_SECRET + "\n")
    return path


# sub and pub


@pytest.mark.parametrize("encoding", ["json", "protobuf"])
def test_what_is_published_is_printed(wh, name, encoding):
    channel = f"history:{name}"
    with wh.start("-v", "-e", encoding, "sub", channel) as text, \
            wh.start("-v", "--json", "-e", encoding, "sub", channel) as objects:
        text.wait_note(f"subscribed to {channel}")
        objects.wait_note('"type":"subscribed"')
        assert wh.run("-e", encoding, "pub", channel, '{"a":[1,"ü"]}').stdout == ""
        assert re.fullmatch(CLOCK + f' {channel} #1 {{"a":\\[1,"ü"\\]}}', text.line())
        seen = objects.object()
    assert {key: seen[key] for key in ("type", "channel", "offset", "data")} == \
        {"type": "publication", "channel": channel, "offset": 1, "data": {"a": [1, "ü"]}}
    assert seen["epoch"] and seen["client"]


def test_bytes_come_as_they_were(wh, name):
    channel = f"history:{name}"
    with wh.start("-v", "-e", "protobuf", "sub", channel) as sub:
        sub.wait_note(f"subscribed to {channel}")
        wh.run("-e", "protobuf", "pub", "--bytes", channel, stdin=b"\x00\xff", text=False)
        assert sub.line().endswith(f" {channel} #1 base64:AP8=")


def test_what_the_server_api_publishes_is_printed(world, wh, name):
    with wh.start("-v", "sub", "-n", "1", "--raw", f"plain:{name}") as sub:
        sub.wait_note(f"subscribed to plain:{name}")
        world.server.publish(f"plain:{name}", {"n": 1})
        assert sub.line().replace(" ", "") == '{"n":1}'
        assert sub.wait() == OK


def test_many_lines_are_published_in_order(wh, name):
    channel = f"history:{name}"
    wh.run("-q", "pub", "--count", "200", "--template", '{"i":{{i}}}', channel)
    wh.run("pub", "--lines", channel, stdin="201\n202\n")
    numbers = [item["data"] for item in wh.objects("history", "--limit", "-1", channel)
               if item["type"] == "publication"]
    assert numbers == [{"i": i} for i in range(1, 201)] + [201, 202]


# Recovery


def test_since_goes_on_where_it_ended(wh, name):
    channel = f"history:{name}"
    with wh.start("-v", "sub", "--recover", channel) as sub:
        sub.wait_note(f"subscribed to {channel}")
        wh.run("pub", channel, "1")
        sub.wait_line("#1 1")
        sub.interrupt()
        since = re.search(r"--since (1:\S+) ", sub.wait_note("go on with")).group(1)
    wh.run("pub", channel, "2")
    with wh.start("sub", "--recover", "--since", since, "-n", "1", channel) as sub:
        sub.wait_line("#2 2")
        assert sub.wait() == OK


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_lost_continuity_is_status_6(wh, name, form):
    wh.run("pub", f"history:{name}", "1")
    flags = ["--json"] if form == "json" else []
    done = wh.run(*flags, "sub", "--recover", "--since", "1:another", f"history:{name}", status=LOST)
    assert "were lost" in done.stderr and done.stdout == ""


def test_what_a_killed_server_missed_is_recovered_and_watched(make_world, tmp_path, name):
    world = make_world()
    wh = Wh(world.server, tmp_path)
    channel = f"history:{name}"
    with wh.start("-v", "sub", "--recover", channel) as sub, \
            wh.start("--json", "watch", channel) as watch:
        sub.wait_note(f"subscribed to {channel}")
        while watch.object()["type"] != "subscribed":
            pass
        world.server.publish(channel, {"n": 1})
        sub.wait_line("#1")
        world.server.kill()
        sub.wait_note("reconnecting")
        world.server.restart()
        world.server.publish(channel, {"n": 2})
        sub.wait_line("#2")
        types = []
        while types[-1:] != ["publication"] or item["offset"] != 2:
            item = watch.object()
            types.append(item["type"])
    assert types.count("connected") == 1 and types.count("subscribed") == 1
    assert types.index("connecting") < types.index("connected") < types.index("subscribed")


# Queries


def test_history_forwards_backwards_and_its_end(wh, name):
    channel = f"history:{name}"
    for number in (1, 2, 3):
        wh.run("pub", channel, number)
    assert wh.run("history", channel).stdout == \
        f"{channel} #1 1\n{channel} #2 2\n{channel} #3 3\n"
    assert wh.run("history", "--reverse", "--limit", "1", "--raw", channel).stdout == "3\n"
    (end,) = wh.objects("history", "--limit", "0", channel)
    assert end["type"] == "position" and end["offset"] == 3
    assert wh.run("history", "--since", f"2:{end['epoch']}", channel).stdout == f"{channel} #3 3\n"


def test_presence_joins_and_numbers(world, wh, name):
    channel = f"joins:{name}"
    token = world.server.token("ann", info={"name": "Ann"})
    with wh.start("-v", "sub", "--join-leave", channel) as first:
        first.wait_note(f"subscribed to {channel}")
        with wh.start("-v", "-t", token, "sub", channel) as second:
            second.wait_note(f"subscribed to {channel}")
            first.wait_line(f"{channel} join ann")
            assert wh.run("stats", channel).stdout == "2 clients, 2 users\n"
            seen = {item["user"]: item for item in wh.objects("presence", channel)}
            assert set(seen) == {"", "ann"} and seen["ann"]["conn_info"] == {"name": "Ann"}
        first.wait_line(f"{channel} leave ann")


def test_ping_counts_and_sums_up(wh):
    seen = wh.objects("ping", "-c", "3", "-i", "1ms")
    assert [item["type"] for item in seen] == ["pong", "pong", "pong", "summary"]
    assert all(item["rtt_us"] > 0 for item in seen[:3]) and seen[3]["count"] == 3


def test_bench_counts_every_delivery(wh, name):
    (result,) = wh.objects("bench", "--clients", "2", "--msgs", "20", "--channel", f"plain:{name}")
    assert result["published"] == 20 and result["received"] == 40
    assert (result["lost"], result["repeated"], result["reordered"]) == (0, 0, 0)


# rpc


def test_rpc_prints_the_result_or_the_error(wh):
    (seen,) = wh.objects("rpc", "suite.v1.echo", '{"a":1}')
    assert seen == {"type": "result", "data": {"a": 1}}
    assert wh.run("-e", "protobuf", "rpc", "--bytes", "suite.v1.echo", "x y").stdout == "x y\n"
    done = wh.run("rpc", "suite.v1.fail", '{"code":409,"message":"sold out"}', status=ERROR)
    assert done.stderr == "wh rpc: suite.v1.fail: 409 sold out\n" and done.stdout == ""
    timed = wh.run("rpc", "--repeat", "3", "--timing", "suite.v1.echo", "1")
    assert timed.stdout == "1\n1\n1\n" and "3 calls: p50" in timed.stderr


def test_a_method_that_nobody_has_is_an_error(wh):
    assert wh.run("rpc", "nobody:method", status=ERROR).stderr == \
        "wh rpc: nobody:method: 104 method not found\n"


ONLY_CENTRIFUGO = pytest.mark.parametrize("server_kind", ["centrifugo"], indirect=True,
                                          scope="session")


@ONLY_CENTRIFUGO
def test_a_server_without_methods_is_told_apart(make_world, tmp_path):
    world = make_world({"rpc": {"without_namespace": {"proxy_enabled": False}}})
    wh = Wh(world.server, tmp_path)
    assert wh.run("rpc", "suite.v1.echo", status=ERROR).stderr == \
        "wh rpc: suite.v1.echo: 108 not available\n"
    admin = ("-t", world.server.token("ann", roles=["admin"]))
    assert "108 not available" in wh.run(*admin, "svc", "ls", status=ERROR).stderr


@ONLY_CENTRIFUGO
def test_without_messagepack_json_is_spoken_and_said(wh, name):
    done = wh.run("-v", "-e", "msgpack", "stats", f"presence:{name}")
    assert done.stdout == "0 clients, 0 users\n"
    assert "encoding_fallback asked=msgpack got=json" in done.stderr


# Errors of the server


@pytest.mark.parametrize("code, command", [
    (102, ("sub", "nowhere:{}")), (102, ("pub", "nowhere:{}", "1")), (103, ("sub", "closed:{}")),
    (103, ("pub", "closed:{}", "1")), (108, ("history", "plain:{}")), (108, ("stats", "plain:{}")),
    (108, ("presence", "plain:{}")),
], ids=lambda value: "-".join(value).replace(":{}", "") if isinstance(value, tuple) else value)
def test_an_error_is_status_1_with_its_code(wh, name, code, command):
    command = [word.format(name) for word in command]
    done = wh.run(*command, status=ERROR)
    assert re.search(rf"\b{code} ", done.stderr) and done.stdout == ""
    (error,) = [item for item in json_lines(wh.run("--json", *command, status=ERROR).stderr)
                if item["type"] == "error"]
    assert error["code"] == code and error["status"] == ERROR


def json_lines(text):
    return [json.loads(line) for line in text.splitlines()]


# Tokens


def test_a_token_of_gen_token_connects(wh, secret_file, name):
    channel = f"presence:{name}"
    token = wh.run("gen-token", "--secret-file", secret_file, "--user", "ann", "--info",
                   '{"name":"Ann"}').stdout.strip()
    with wh.start("-v", "-t", token, "sub", channel) as sub:
        sub.wait_note(f"subscribed to {channel}")
        (seen,) = wh.objects("presence", channel)
        assert seen["user"] == "ann" and seen["conn_info"] == {"name": "Ann"}


def test_a_token_of_a_channel_lets_into_it(wh, secret_file, name):
    channel = f"closed:{name}"
    make = ("gen-token", "--secret-file", secret_file, "--user", "ann")
    connection = wh.run(*make).stdout.strip()
    token = wh.run(*make, "--channel", channel).stdout.strip()
    with wh.start("-v", "-t", connection, "sub", "--channel-token", token, channel) as sub:
        sub.wait_note(f"subscribed to {channel}")


def test_channels_in_a_token_are_the_servers_to_subscribe(wh, secret_file, name):
    channel = f"history:{name}"
    token = wh.run("gen-token", "--secret-file", secret_file, "--user", "ann", "--claim",
                   f'channels=["{channel}"]').stdout.strip()
    with wh.start("-t", token, "--json", "watch") as watch:
        while (item := watch.object())["type"] != "subscribed":
            pass
        assert item["channel"] == channel
        wh.run("pub", channel, '"x"')
        while (item := watch.object())["type"] != "publication":
            pass
        assert (item["channel"], item["data"], item["offset"]) == (channel, "x", 1)


@pytest.mark.parametrize("token", ["rubbish", "expired", "of another"])
def test_a_bad_token_is_status_5(wh, secret_file, tmp_path, token):
    if token == "expired":
        token = wh.run("gen-token", "--secret-file", secret_file, "--user", "ann", "--claim", "exp=5"
                       ).stdout.strip()
    elif token == "of another":
        other = tmp_path / "other"
        other.write_text("a secret of somebody else 72ab")
        token = wh.run("gen-token", "--secret-file", other, "--user", "ann").stdout.strip()
    done = wh.run("-t", token, "stats", "presence:x", status=UNAUTHORIZED)
    assert done.stdout == "" and token not in done.stderr
