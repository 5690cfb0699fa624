"""services/examples: small services in other languages keep the contract of docs/REDIS.md.  The
test is the hub here; tests/conformance/rpc.test.mjs has a real one."""

import itertools
import json
import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

import msgpack
import pytest
from redis import Redis

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "services/examples"
COMMANDS = {"python": ["/usr/bin/python3", "-B", str(EXAMPLES / "echo.py")],
            "node": ["node", str(EXAMPLES / "echo.mjs")]}
PATIENCE = 30.0


def wait(what, condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.01)  # between polls of a bounded wait


class Service:
    """The example in one language, and what a hub does with it."""

    def __init__(self, language, server, login=""):
        self.language = language
        self.db = Redis(unix_socket_path=str(server.socket_path))
        self.ids = itertools.count(2**53 - 1000)  # hubs stay below 2^53
        self.answers = self.db.pubsub(ignore_subscribe_messages=True)
        self.answers.subscribe("wh:rpc:reply:test")
        self.process = subprocess.Popen(
            COMMANDS[language], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env={**os.environ, "REDIS_URL": f"redis://{login}{server.address}"})
        wait("the service", self.is_alive)

    def is_alive(self):
        assert self.process.poll() is None, self.process.stderr.read()
        return self.db.pubsub_numsub("wh:rpc:alive:echo")[0][1] == 1

    def send(self, method, value=None, kind=1, **fields):
        now = int(time.time() * 1000)
        call = {"v": 1, "id": next(self.ids), "method": method, "user": "", "client": "",
                "sent_ms": now, "deadline_ms": now + 10000, "reply": "wh:rpc:reply:test", **fields}
        if value is not None:
            call["params"] = [kind, value if isinstance(value, bytes)
                              else msgpack.packb(value) if kind == 2 else json.dumps(value).encode()]
        self.db.rpush("wh:rpc:echo", msgpack.packb(call))
        return call["id"]

    def take(self):
        """The next answers: {id: data or error}."""
        deadline = time.monotonic() + PATIENCE
        message = None
        while message is None and time.monotonic() < deadline:
            message = self.answers.get_message(timeout=1)
        assert message, "no answer"
        unpacker = msgpack.Unpacker()
        unpacker.feed(message["data"])
        return {answer["id"]: answer.get("error") or json.loads(answer["data"][1])
                for answer in unpacker}

    def call(self, *args, **fields):
        number = self.send(*args, **fields)
        return self.take()[number]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


@pytest.fixture(params=sorted(COMMANDS))
def service(request, redis):
    if request.param == "node" and not (EXAMPLES / "node_modules").exists():
        pytest.skip("no packages for services/examples/echo.mjs (npm ci)")
    started = Service(request.param, redis)
    yield started
    started.process.kill()
    started.process.communicate()


def test_the_account_of_the_page_is_enough(service, redis):
    page = (ROOT / "docs/REDIS.md").read_text()
    line = next(line for line in page.splitlines() if "ACL SETUSER echo" in line)
    redis.cli(*shlex.split(line.split("redis-cli ", 1)[1]))
    assert service.stop() == 0
    other = Service(service.language, redis, "echo:a-third-password@")
    try:
        assert other.call("echo.v1.say", {"text": 1})["text"] == 1
        assert other.stop() == 0
    finally:
        other.process.kill()
        other.process.communicate()


def test_it_announces_its_methods_before_it_is_alive(service):
    about = json.loads(service.db.hget("wh:rpc:services", "echo"))
    assert about["version"] == "1.0.0"
    assert {method["name"]: method["access"] for method in about["methods"]} == {
        "echo.v1.say": "anonymous", "echo.v1.whoami": "user", "echo.v1.wait": "anonymous"}


def test_it_answers_params_of_every_kind(service):
    for kind in (0, 1, 2):
        answer = service.call("echo.v1.say", {"text": "ü🙂"}, kind)
        assert answer == {"text": "ü🙂", "by": service.language}
    assert service.call("echo.v1.whoami", user="ann")["user"] == "ann"


def test_a_refusal_has_its_code_and_a_bug_is_an_internal_error(service):
    assert service.call("echo.v1.say", {})["code"] == 400
    assert service.call("echo.v1.say")["code"] == 400
    assert service.call("echo.v1.say", b"\xff\0", 0)["code"] == 107
    assert service.call("echo.v2.say", {"text": 1})["code"] == 104
    error = service.call("echo.v1.wait", {"ms": "long"})
    assert error == {"code": 100, "message": "internal server error", "temporary": True}
    assert service.call("echo.v1.say", {"text": 1})["text"] == 1, "and it goes on"


def test_a_call_past_its_deadline_is_not_answered(service):
    late = service.send("echo.v1.say", {"text": "late"}, deadline_ms=int(time.time() * 1000) - 1)
    due = service.send("echo.v1.say", {"text": "due"})
    answers = service.take()
    assert due in answers and late not in answers


def test_what_was_queued_when_it_was_told_to_stop_is_answered(service):
    ms = 50 if service.language == "python" else 800  # one after the other, or all at once
    sent = {service.send("echo.v1.wait", {"ms": ms}) for _ in range(5)}
    assert service.stop() == 0
    answered = set()
    while answered != sent:
        answered |= set(service.take())
    assert service.db.pubsub_numsub("wh:rpc:alive:echo")[0][1] == 0


def test_it_announces_itself_again_to_a_redis_that_came_back_empty(service, redis):
    redis.restart()
    service.answers = service.db.pubsub(ignore_subscribe_messages=True)
    service.answers.subscribe("wh:rpc:reply:test")
    wait("the announcement", lambda: service.db.hexists("wh:rpc:services", "echo"))
    wait("its subscription", service.is_alive)
    assert service.call("echo.v1.say", {"text": "again"})["text"] == "again"
