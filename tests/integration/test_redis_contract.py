"""docs/REDIS.md is a promise to programs in any language: every example of the page is run in its
order against a hub, and answers what the page says."""

import os
import pty
import re
import subprocess
import threading
from pathlib import Path

import msgpack
import pytest

from support.client import JsonClient
from support.rpc_service import RpcService, json_payload

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/REDIS.md"
SCRIPTS = ROOT / "common/redis"
MARK = "@@example "


def examples():
    """[(command, [lines of its answer])] in the order of the page."""
    found = []
    for line in PAGE.read_text().splitlines():
        if line.startswith("    $ "):
            found.append((line[6:], []))
        elif line.startswith("    ") and found:
            found[-1][1].append(line[4:])
        else:
            found.append((None, []))  # ends an answer
    return [(command, answer) for command, answer in found if command]


def run_on_terminal(script, directory, environment):
    """The output of a shell on a terminal, where redis-cli shows types as on the page."""
    master, slave = pty.openpty()
    output = []

    def read():
        while True:
            try:
                data = os.read(master, 65536)
            except OSError:  # EIO: the other side is closed
                return
            if not data:
                return
            output.append(data)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        subprocess.run(["sh", "-c", script], cwd=directory, env=environment, stdout=slave,
                       stderr=slave, stdin=subprocess.DEVNULL, timeout=60, check=True)
    finally:
        os.close(slave)
        reader.join(10)
        os.close(master)
    return b"".join(output).decode().replace("\r\n", "\n")


@pytest.fixture
def shell(redis, tmp_path):
    """shell(commands) -> the answer of each, as lines; redis-cli speaks to the test's Redis."""
    shim = tmp_path / "redis-cli"
    shim.write_text(f'#!/bin/sh\nexec /usr/bin/env -i TERM=dumb PATH="$REAL_PATH" '
                    f'redis-cli -s {redis.socket_path} "$@"\n')
    shim.chmod(0o755)
    environment = {**os.environ, "REAL_PATH": os.environ["PATH"],
                   "PATH": f"{tmp_path}:{os.environ['PATH']}"}

    def run(commands):
        script = "\n".join(f"{command}\necho '{MARK}'" for command in commands)
        parts = run_on_terminal(script, SCRIPTS, environment).split(f"{MARK}\n")
        assert len(parts) == len(commands) + 1, parts
        return [part.splitlines() for part in parts[:-1]]

    return run


def blur(line, epochs):
    """What differs from run to run: hashes, and epochs, which must stay the same all along."""
    line = re.sub(r'"[0-9a-f]{40}"', '"<sha1>"', line)
    line = re.sub(r'"\d{13}-\d+"', '"<entry>"', line)
    found = re.fullmatch(r'(2\) )"([A-Za-z]{8})"', line)
    if found:
        epochs.add(found[2])
        return found[1] + '"<epoch>"'
    return line


def test_every_example_of_the_page_answers_as_shown(make_hub, redis, shell):
    hub = make_hub({"workers": 1}, redis=redis)
    page = examples()
    assert len(page) > 20
    with JsonClient.open(hub.ws_url) as client:
        client.connect()
        client.subscribe("market:ticker")
        redis.wait_subscribers("market:ticker", 1)
        epochs, shown = set(), set()
        for (command, expected), answer in zip(page, shell([command for command, _ in page])):
            got = [blur(line, epochs) for line in answer]
            want = [blur(line, shown) for line in expected]
            # Some are shown without their answer, which is empty or that one worker listens.
            assert got == want or not expected and got in ([], ["(integer) 1"]), command
        assert len(epochs) == 1
        # What the page says clients get: in order, and nothing of what it says is skipped.
        received = [client.next_publication("market:ticker")["data"] for _ in range(6)]
        assert received == [
            {"symbol": "ACME", "price": 101.5},
            "plain text in quotes is JSON",
            {"price": 102},
            {"price": 103},
            {"price": 104},
            {"a": 1},
        ]


def acl_line(name):
    line = next(c for c, _ in examples() if c.startswith(f"redis-cli ACL SETUSER {name} "))
    return line


def test_the_account_for_services_is_enough_to_load_publish_and_read(redis, shell):
    login = "redis-cli --user service --pass another-password --no-auth-warning"
    names = "wh:stream:a wh:meta:a wh:run"
    answers = shell([
        acl_line("service"),
        f"RUN=$({login} INFO server | tr -d '\\r' | sed -n 's/^run_id://p')",
        f"{login} SET wh:run $RUN",
        f"P=$({login} -x SCRIPT LOAD < publish.lua)",
        f"H=$({login} -x SCRIPT LOAD < history.lua)",
        f"{login} EVALSHA $P 4 {names} wh:idem:1:a:k wh:ch:a 1 10 60000 60000 1 e | head -1",
        f"{login} EVALSHA $P 3 {names} wh:ch:a 2 10 0 0 | head -1",
        f"{login} EVALSHA $H 3 {names} 10 '' 0 60000 | head -1",
        f"{login} EVALSHA $H 3 {names} 10 '' 1 0 | head -1",
        f"{login} CONFIG GET save 2>&1 | head -1 | cut -c1-6",
        f"{login} PUBLISH wh:control x 2>&1 | head -1 | cut -c1-6",
    ])
    assert answers[0] == ["OK"] and answers[2] == ["OK"]
    assert answers[5:9] == [["1"], ["2"], ["2"], ["2"]]
    assert answers[9:] == [["NOPERM"], ["NOPERM"]]


def test_the_account_for_hubs_is_enough_for_a_hub_and_all_its_scripts(make_hub, redis, shell):
    shell([acl_line("hub")])
    hub = make_hub({"engine": {"redis": {"user": "hub", "password": "a-long-password"}}},
                   redis=redis)
    login = "redis-cli --user hub --pass a-long-password --no-auth-warning"
    keys = "wh:presence.info:a wh:presence.expire:a wh:presence.users:a"
    names = "wh:stream:a wh:meta:a wh:run"
    answers = shell([
        *(f"{script.upper()}=$(sha1sum < {script}.lua | cut -c1-40)"
          for script in ("publish", "history", "presence_add", "presence_read",
                         "presence_remove")),
        f"{login} EVALSHA $PUBLISH 4 {names} wh:idem:1:a:k wh:ch:a 1 10 60000 60000 1 e | head -1",
        f"{login} EVALSHA $HISTORY 3 {names} 10 '' 1 0 | head -1",
        f"{login} EVALSHA $PRESENCE_ADD 3 {keys} c u info 1",
        f"{login} EVALSHA $PRESENCE_ADD 3 {keys} d u info 60000",
        f"{login} EVALSHA $PRESENCE_ADD 3 {keys} d v info 60000",
        f"{login} EVALSHA $PRESENCE_READ 3 {keys} stats | head -2",
        f"{login} EVALSHA $PRESENCE_REMOVE 3 {keys} d",
        f"{login} GET wh:run | wc -c",
    ])
    assert answers[5:] == [["1"], ["1"], ["(integer) 1"], ["(integer) 1"], ["(integer) 0"],
                           ["1", "1"], ["(integer) 1"], ["41"]]
    assert not [line for line in hub.lines if "NOPERM" in line]
    with JsonClient.open(hub.ws_url) as client:
        client.connect()
        client.subscribe("market:ticker")
        redis.publish("market:ticker", "1")
        assert client.next_publication("market:ticker")["data"] == 1
        with RpcService(redis, "shop", {"shop.v1.pay": lambda call: json_payload(7)}):
            assert client.rpc("shop.v1.pay")["data"] == 7


def packed(redis, *words):
    """The answer of redis-cli to one command, its last line as bytes."""
    return redis.cli(*words).rstrip(b"\n").split(b"\n", 1)[-1]


def test_a_method_is_served_with_redis_cli_and_nothing_else(make_hub, redis, shell):
    hub = make_hub({"workers": 1}, redis=redis)
    announce = next(c for c, _ in examples() if c.startswith("redis-cli HSET wh:rpc:services "))
    assert shell([announce]) == [["(integer) 1"]]
    alive = subprocess.Popen(["redis-cli", "-s", str(redis.socket_path), "SUBSCRIBE",
                              "wh:rpc:alive:greeter"], stdout=subprocess.PIPE)
    try:
        assert alive.stdout.readline() == b"subscribe\n"
        with JsonClient.open(hub.ws_url) as client:
            client.connect()
            number = client.start("rpc", method="greeter.v1.hello", data={"name": "Ann"})
            call = msgpack.unpackb(
                packed(redis, "BLMPOP", "10", "1", "wh:rpc:greeter", "LEFT", "COUNT", "1"))
            assert call["v"] == 1 and call["method"] == "greeter.v1.hello" and call["user"] == ""
            assert call["params"] == [1, b'{"name":"Ann"}']
            assert 0 < call["deadline_ms"] - call["sent_ms"] <= 2000
            answers = msgpack.packb({"id": call["id"] + 1, "data": [1, b"0"]})  # nobody's: dropped
            answers += msgpack.packb({"id": call["id"], "data": [2, msgpack.packb({"hello": "Ann"})]})
            assert redis.cli("PUBLISH", call["reply"], stdin=answers) == b"1\n"
            assert client.wait_reply(number)["data"] == {"hello": "Ann"}
            assert redis.cli("EXISTS", "wh:rpc:greeter") == b"0\n"
    finally:
        alive.terminate()
        alive.communicate()


def test_the_page_names_every_key_and_channel_of_the_code():
    page = PAGE.read_text()
    code = "\n".join(path.read_text() for folder in ("hub", "common")
                     for path in (ROOT / folder).rglob("*") if path.suffix in (".c", ".h", ".lua"))
    names = set(re.findall(r'"(wh:[a-z.]+:?)', code))
    assert len(names) > 8
    for name in names:
        assert name in page, name


def test_an_idempotency_key_is_known_as_long_as_the_publisher_says(redis, shell):
    names = "wh:stream:a wh:meta:a wh:run"
    call = f"redis-cli EVALSHA $P 4 {names} wh:idem:1:a:{{}} wh:ch:a 1 10 60000 60000 '' '' {{}}"
    answers = shell([
        "redis-cli SET wh:run $(redis-cli INFO server | tr -d '\\r' | sed -n 's/^run_id://p')",
        "P=$(redis-cli --raw -x SCRIPT LOAD < publish.lua)",
        call.format("long", "86400000") + " | tail -1",
        call.format("long", "86400000") + " | tail -1",
        call.format("short", "''") + " | tail -1",
        call.format("bad", "soon") + " 2>&1 | cut -c1-5 | head -1",
        "redis-cli --raw PTTL wh:idem:1:a:long",
        "redis-cli --raw PTTL wh:idem:1:a:short",
    ])
    assert answers[2:6] == [["1"], ["0"], ["1"], ["EARGS"]]
    assert 86300000 < int(answers[6][0]) <= 86400000
    assert 290000 < int(answers[7][0]) <= 300000


@pytest.mark.parametrize("arguments", [
    "2 s k", "2 s k '{}'", "2 s k '{}' 0 1", "2 s k '{}' 1 0", "2 s k '{}' 1 x", "1 s '{}' 1 1",
    "2 s k '{}' 1234567890123456 1"])
def test_emit_with_wrong_arguments_changes_nothing(redis, shell, arguments):
    answers = shell(["E=$(redis-cli --raw -x SCRIPT LOAD < emit.lua)",
                     f"redis-cli EVALSHA $E {arguments} 2>&1 | cut -c1-5 | head -1",
                     "redis-cli --raw DBSIZE"])
    assert answers[1:] == [["EARGS"], ["0"]]
