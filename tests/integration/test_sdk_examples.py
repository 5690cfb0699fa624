"""Every example of the library does what it says, against a real hub."""

import json
import os
import signal
import subprocess
import threading

import pytest

from support.hub import ROOT

EXAMPLES = ROOT / "build/debug/examples"
CONFIG = {
    "client": {"allow_anonymous_connect_without_token": True},
    "http_api": {"key": "key"},
    "channel": {
        "without_namespace": {
            "allow_subscribe_for_client": True, "allow_subscribe_for_anonymous": True,
            "allow_publish_for_subscriber": True, "presence": True, "join_leave": True,
            "allow_presence_for_subscriber": True, "history_size": 100, "history_ttl": "1h",
            "force_recovery": True},
        "namespaces": [{"name": "orders", "allow_user_limited_channels": True,
                        "history_size": 100, "history_ttl": "1h", "force_recovery": True}]},
}
PATIENCE = 20


class Example:
    """One running example; what it prints, line by line."""

    def __init__(self, name, *arguments, environment=None):
        self.process = subprocess.Popen(
            [EXAMPLES / name, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})})
        self.lines, self.errors = [], []
        self.changed = threading.Condition()
        for stream, lines in ((self.process.stdout, self.lines), (self.process.stderr, self.errors)):
            threading.Thread(target=self._read, args=(stream, lines), daemon=True).start()

    def _read(self, stream, lines):
        for line in stream:
            with self.changed:
                lines.append(line.rstrip("\n"))
                self.changed.notify_all()

    def wait(self, condition, what):
        with self.changed:
            assert self.changed.wait_for(condition, PATIENCE), f"{what}: {self.lines} {self.errors}"

    def wait_line(self, part):
        self.wait(lambda: any(part in line for line in self.lines + self.errors), part)

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def end(self, number=None):
        """The exit status after a signal, or after the end of standard input."""
        if number:
            self.process.send_signal(number)
        self.process.stdin.close()
        return self.process.wait(PATIENCE)


@pytest.fixture
def server(make_hub):
    return make_hub(CONFIG)


@pytest.fixture
def url(server):
    return server.ws_url


@pytest.fixture
def example():
    running = []

    def start(name, *arguments, **options):
        running.append(Example(name, *arguments, **options))
        return running[-1]

    yield start
    for one in running:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


def publish(server, channel, data):
    answer = server.http("/api/publish", method="POST", headers={"X-API-Key": "key"},
                                  data=json.dumps({"channel": channel, "data": data},
                                                  separators=(",", ":")).encode())
    assert answer.status == 200 and "error" not in json.loads(answer.body), answer.body


def until_heard(server, channel, data, one, part):
    """Published again and again until the example, which may still be connecting, has heard it."""
    for _ in range(PATIENCE * 5):
        publish(server, channel, data)
        with one.changed:
            if one.changed.wait_for(lambda: any(part in line for line in one.lines), 0.2):
                return
    raise AssertionError(f"{part} was not heard: {one.lines} {one.errors}")


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "client-sdk/examples").glob("*.c*")
                                        if path.stem != "hello"))
def test_without_arguments_it_says_how_to_use_it(example, name):
    one = example(name)
    assert one.end() == 2
    one.wait_line("usage:")


@pytest.mark.parametrize("name", ["dispatch_epoll", "uv", "cpp", "chat", "glib", "centrifugo"])
def test_it_prints_what_is_published(server, url, example, name):
    one = example(name, url, "news")
    until_heard(server, "news", {"n": 17}, one, '{"n":17}')
    number = signal.SIGTERM if name in ("glib", "centrifugo") else None
    assert one.end(number) == 0


@pytest.mark.parametrize("name", ["dispatch_epoll", "uv"])
def test_its_lines_are_published(server, url, example, name):
    listener, speaker = example("cpp", url, "news"), example(name, url, "news")
    until_heard(server, "news", 1, listener, "1")
    until_heard(server, "news", 1, speaker, "1")
    speaker.say('{"from":"stdin"}')
    listener.wait_line('{"from":"stdin"}')
    assert (speaker.end(), listener.end()) == (0, 0)


def test_chat_shows_who_comes_talks_and_leaves(server, url, example):
    ann, bob = {"WIREHUB_TOKEN": server.token("ann")}, {"WIREHUB_TOKEN": server.token("bob")}
    first = example("chat", url, "room", environment=ann)
    first.wait_line("* here: ann")
    second = example("chat", url, "room", environment=bob)
    first.wait_line("* bob came")
    second.say('he said "hello"')
    first.wait_line('bob: "he said \\"hello\\""')
    assert second.end() == 0
    first.wait_line("* bob left")
    assert first.end() == 0


def test_orders_asks_for_tokens_and_survives_a_restart(make_hub, redis, example):
    server = make_hub(CONFIG, redis=redis)
    one = example("orders", server.ws_url, "42",
                  environment={"TOKEN_COMMAND": f"echo {server.token('42')}"})
    one.wait_line("all orders loaded")
    publish(server, "orders:live#42", {"order": 1})
    one.wait_line('{"order":1}')
    server.kill_worker()
    one.wait_line("transport closed")
    server.wait_ready()
    one.wait_line("everything missed comes now")
    until_heard(server, "orders:live#42", {"order": 2}, one, '{"order":2}')
    offsets = [int(line[1:].split()[0]) for line in one.lines if line.startswith("#")]
    assert offsets == list(range(1, len(offsets) + 1))
    assert one.end(signal.SIGTERM) == 0


def test_rpc_tells_every_end_apart(make_hub, redis, example):
    server = make_hub(CONFIG, redis=redis)
    url = server.ws_url
    one = example("rpc", url, "nobody.v1.there", environment={"WIREHUB_TOKEN": server.token("ann")})
    one.wait_line("error 104: ")
    assert one.end() == 1
    one = example("rpc", url, "a.b", "not JSON", environment={"WIREHUB_TOKEN": server.token("ann")})
    one.wait_line("is no JSON")
    assert one.end() == 2
    one = example("rpc", url, "a.b", environment={"WIREHUB_TOKEN": "no.token"})
    one.wait_line("refuses the token")
    assert one.end() == 5


def test_many_clients_share_two_threads(server, url, example):
    one = example("many", url, "news", "200")
    one.wait_line("connected 200, subscribed 200")
    status = open(f"/proc/{one.process.pid}/status", encoding="ascii").read()
    threads = int(status.split("Threads:")[1].split()[0])
    publish(server, "news", 1)
    one.wait_line("publications 200")
    assert one.end(signal.SIGINT) == 0
    # main and two of the library; a short one that looks up a name may be among them.
    assert threads <= 4
