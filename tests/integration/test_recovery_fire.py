"""Recovery under fire: whatever dies, every subscriber sees each publication once and in order, or
is told that it could not be brought up to date.

Publishers and subscribers write down what they see while connections are cut, workers and Redis
killed; a judge reads the notes afterwards.  Subscribers keep epoch and offset as the official clients
do.  A failed run prints its seed: WIREHUB_FIRE_SEED=<seed> runs the same faults again.
"""

import contextlib
import hashlib
import json
import os
import random
import socket
import threading
import time
from pathlib import Path

import pytest

from support.client import Disconnected, JsonClient, ReplyError
from support.hub import ROOT
from support.redis_server import RedisServer
from support.ws import HandshakeError

SEED = int(os.environ.get("WIREHUB_FIRE_SEED") or random.SystemRandom().randrange(2 ** 32))
CHANNEL = "fire:line"
SUBSCRIBERS = 4
HEAL_SECONDS = 10.0  # 5 s are promised; the rest is for a sanitized build on a busy machine
LOST = (Disconnected, ConnectionError, HandshakeError, OSError)

CONFIG = {
    "workers": 2,
    "client": {"recovery_max_publication_limit": 100000},
    "channel": {"namespaces": [{
        "name": "fire", "history_size": 100000, "history_ttl": "300s", "force_recovery": True,
        "allow_subscribe_for_client": True, "allow_subscribe_for_anonymous": True,
        "allow_publish_for_client": True, "allow_publish_for_anonymous": True}]},
}


class Worker:
    """A thread that runs step() until it is stopped; what step() raises is the test's failure."""

    def __init__(self):
        self.failure = None
        self.is_stopped = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        try:
            while not self.is_stopped.is_set():
                self.step()
        except BaseException as failure:  # handed to the test's own thread by stop()
            self.failure = failure

    def check(self):
        if self.failure:
            raise self.failure

    def stop(self):
        self.is_stopped.set()
        self.thread.join(30)
        assert not self.thread.is_alive(), f"{self} does not end"
        self.check()


class Subscriber(Worker):
    """Notes, in order: ("start", epoch, offset), ("pub", epoch, offset, value), ("lost", epoch,
    offset) when it is told that recovery failed, and ("away", why) for the reader of a failure."""

    def __init__(self, hubs, number, token):
        super().__init__()
        self.hubs = hubs
        self.turn = number
        self.token = token  # with one, the subscription is server-side
        self.client = None
        self.position = None
        self.notes = []
        self.is_subscribed = threading.Event()

    def __str__(self):
        return f"the subscriber {'by token' if self.token else 'by command'}, {self.turn} turns"

    def cut(self):
        client = self.client
        if client:
            with contextlib.suppress(OSError):  # it went by itself
                client.ws.sock.shutdown(socket.SHUT_RDWR)

    def step(self):
        try:
            if self.client is None:
                self.connect()
            elif not self.is_subscribed.is_set():
                self.subscribe()
            else:
                self.take(self.client.next_push(timeout=0.1))
        except TimeoutError:
            assert self.is_subscribed.is_set(), f"{self}: not answered"  # else nothing came, in order
        except ReplyError as error:
            assert error.temporary, f"{self}: {error}"
            self.leave(str(error))
        except LOST as error:
            assert not isinstance(error, Disconnected) or error.code < 3500, f"{self}: {error}"
            self.leave(repr(error))

    def leave(self, why):
        self.notes.append(("away", why))
        self.is_subscribed.clear()
        if self.client:
            self.client.ws.abort()
            self.client = None
        self.turn += 1  # the other hub next time
        self.is_stopped.wait(0.02)  # the back-off of a client

    def wish(self):
        if self.position is None:
            return {}
        epoch, offset = self.position
        return {"recover": True, "epoch": epoch, "offset": offset}

    def connect(self):
        hub = self.hubs[self.turn % len(self.hubs)]
        self.client = JsonClient.open(hub.ws_url)
        if not self.token:
            self.client.connect()
            return
        subs = {CHANNEL: self.wish()} if self.position else None
        result = self.client.connect(token=self.token, subs=subs)
        self.begin(result["subs"][CHANNEL])

    def subscribe(self):
        self.begin(self.client.subscribe(CHANNEL, **self.wish()))

    def begin(self, result):
        assert result["recoverable"] and bool(self.position) == result.get("was_recovering", False)
        top = result["epoch"], result.get("offset", 0)
        if self.position and result.get("recovered"):
            for publication in result.get("publications", []):
                self.keep(publication)
        else:
            self.notes.append(("lost" if self.position else "start", *top))
            self.position = top
        self.is_subscribed.set()

    def take(self, push):
        if "unsubscribe" in push:
            assert push["unsubscribe"]["code"] == 2500 and not self.token, push
            self.notes.append(("away", "2500"))
            self.is_subscribed.clear()
        else:
            self.keep(push["pub"])

    def keep(self, publication):
        epoch = publication.get("epoch", self.position[0])
        self.notes.append(("pub", epoch, publication["offset"], tuple(publication["data"])))
        self.position = epoch, publication["offset"]


class Publisher(Worker):
    """Publishes [name, 1], [name, 2], … each at most once; `acknowledged` are those it was told
    are published."""

    def __init__(self, name):
        super().__init__()
        self.name = name
        self.count = 0
        self.acknowledged = []

    def __str__(self):
        return f"the publisher {self.name}"

    def step(self):
        self.count += 1
        if self.publish([self.name, self.count]):
            self.acknowledged.append(self.count)
        self.is_stopped.wait(0.003)  # leaves the processor to the others


class ClientPublisher(Publisher):
    def __init__(self, hubs):
        super().__init__("client")
        self.hubs = hubs
        self.turn = 0
        self.client = None

    def publish(self, value):
        try:
            if self.client is None:
                self.client = JsonClient.open(self.hubs[self.turn % len(self.hubs)].ws_url)
                self.client.connect()
            self.client.publish(CHANNEL, value)
            return True
        except ReplyError as error:
            assert error.temporary, error
        except LOST:
            if self.client:
                self.client.ws.abort()
            self.client = None
            self.turn += 1
        return False


class ScriptPublisher(Publisher):
    """A service: publish.lua by EVALSHA, loading nothing."""

    def __init__(self, redis):
        super().__init__("service")
        self.redis = redis
        self.sha1 = sha1_of(ROOT / "common/redis/publish.lua")

    def publish(self, value):
        answer = self.redis.cli(
            "EVALSHA", self.sha1, "3", f"wh:stream:{CHANNEL}", f"wh:meta:{CHANNEL}", "wh:run",
            f"wh:ch:{CHANNEL}", json.dumps(value), "100000", "300000", "2592000000", check=False)
        return answer.endswith(b"\n1\n") and answer.count(b"\n") == 3


def sha1_of(path):
    return hashlib.sha1(Path(path).read_bytes()).hexdigest()


# The judge, who knows only what was noted

def judge(notes, acknowledged, everything):
    """One subscriber.  `everything`: (epoch, offset) -> value, as all subscribers saw it."""
    position = None
    for note in notes:
        if note[0] in ("start", "lost"):
            position = note[1:]
        elif note[0] == "pub":
            _, epoch, offset, value = note
            assert (epoch, offset) == (position[0], position[1] + 1), \
                f"{note} after {position}: {around(notes, note)}"
            assert everything.setdefault((epoch, offset), value) == value, \
                f"{note}, but others saw {everything[epoch, offset]} there"
            position = epoch, offset
    for name, numbers in acknowledged.items():
        judge_series(notes, name, numbers)


def judge_series(notes, name, acknowledged):
    last, missing, is_excused = 0, set(acknowledged), False
    excused = set()
    for note in notes:
        if note[0] == "lost":
            is_excused = True
        if note[0] != "pub" or note[3][0] != name:
            continue
        number = note[3][1]
        assert number > last, f"{name} {number} after {last}: {around(notes, note)}"
        if is_excused:
            excused.update(range(last + 1, number))
        missing.discard(number)
        last, is_excused = number, False
    if is_excused:
        excused.update(range(last + 1, max([last, *acknowledged]) + 1))
    missing -= excused
    assert not missing, f"{name} {sorted(missing)[:10]} acknowledged, not seen, nothing said; {notes[-3:]}"


def around(notes, note):
    at = notes.index(note)
    return notes[max(0, at - 4):at + 2]


# The battlefield

class Fire:
    def __init__(self, make_hub, redis, seed):
        self.random = random.Random(seed)
        self.redis = redis
        self.hubs = [make_hub(CONFIG, redis=redis) for _ in range(2)]
        tokens = [None, None, None, self.hubs[0].token("ann", subs={CHANNEL: {}})]
        self.subscribers = [Subscriber(self.hubs, n, tokens[n]) for n in range(SUBSCRIBERS)]
        self.publishers = [ClientPublisher(self.hubs), ScriptPublisher(redis)]

    def start(self):
        for subscriber in self.subscribers:
            subscriber.thread.start()
        for subscriber in self.subscribers:
            assert subscriber.is_subscribed.wait(10), subscriber.failure
        for publisher in self.publishers:
            publisher.thread.start()

    def wait_publications(self, count):
        """Until that many more were acknowledged by each publisher."""
        wanted = [len(each.acknowledged) + count for each in self.publishers]
        deadline = time.monotonic() + 20
        while any(len(each.acknowledged) < want for each, want in zip(self.publishers, wanted)):
            for each in self.publishers + self.subscribers:
                each.check()
            assert time.monotonic() < deadline, f"nothing is published any more: {wanted}"
            time.sleep(0.005)  # between polls of a bounded wait

    def some_publications(self):
        self.wait_publications(self.random.randrange(1, 12))

    def top(self):
        epoch, offset = self.redis.cli("HMGET", f"wh:meta:{CHANNEL}", "e", "s").decode().split()
        return epoch, int(offset)

    def finish(self):
        """No more faults and no more publications: everybody gets up to date all the same."""
        for publisher in self.publishers:
            publisher.stop()
        deadline, top = time.monotonic() + HEAL_SECONDS, self.top()
        for subscriber in self.subscribers:
            while subscriber.position != top or not subscriber.is_subscribed.is_set():
                subscriber.check()
                assert time.monotonic() < deadline, \
                    f"{subscriber} is not at {top}: {subscriber.notes[-5:]}"
                time.sleep(0.01)  # between polls of a bounded wait
        for subscriber in self.subscribers:
            subscriber.stop()
        acknowledged = {p.name: p.acknowledged for p in self.publishers}
        everything = {}
        for subscriber in self.subscribers:
            judge(subscriber.notes, acknowledged, everything)
        return sum(note[0] == "lost" for each in self.subscribers for note in each.notes)

    def end(self):
        for each in self.subscribers + self.publishers:
            each.is_stopped.set()
        for each in self.subscribers:
            each.cut()

    # Faults

    def cut(self):
        self.random.choice(self.subscribers).cut()

    def kill_links(self):
        self.redis.cli("CLIENT", "KILL", "TYPE", "pubsub")

    def kill_commands(self):
        self.redis.cli("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    def kill_worker(self):
        hub = self.random.choice(self.hubs)
        if len(hub.worker_pids) == 2:  # never the last one: somebody must answer
            hub.kill_worker(self.random.choice(hub.worker_pids))


@pytest.fixture
def fire(make_hub):
    """fire(*arguments of redis-server) prepares everything; it ends with the test."""
    with contextlib.ExitStack() as stack:
        def prepare(*args):
            print(f"WIREHUB_FIRE_SEED={SEED}")
            redis = stack.enter_context(RedisServer(*args))
            battle = Fire(make_hub, redis, SEED)
            stack.callback(battle.end)
            return battle

        yield prepare


def test_cuts_and_killed_links_and_workers_cost_nothing(fire):
    battle = fire()
    battle.start()
    faults = [battle.cut] * 8 + [battle.kill_links] * 4 + [battle.kill_commands] * 2 + \
        [battle.kill_worker] * 3
    battle.random.shuffle(faults)
    for fault in faults:
        battle.some_publications()
        fault()
    battle.some_publications()
    battle.kill_links()  # and nothing is published after it that would show the gap
    assert battle.finish() == 0, "Redis forgot nothing, so nobody may be told of a loss"


def test_redis_that_keeps_all_over_a_kill_costs_nothing(fire):
    battle = fire("--appendonly", "yes", "--appendfsync", "always")
    battle.start()
    for _ in range(2):
        battle.some_publications()
        battle.redis.kill()
        battle.cut()
        battle.redis.restart()
        battle.cut()
    battle.some_publications()
    assert battle.finish() == 0, "Redis forgot nothing, so nobody may be told of a loss"


@pytest.mark.parametrize("memory", ["empty", "an older snapshot"])
def test_redis_that_forgets_over_a_kill_is_noticed_by_everybody(fire, memory):
    battle = fire()
    battle.start()
    for _ in range(2):
        battle.some_publications()
        if memory != "empty":
            battle.redis.cli("SAVE")
        battle.some_publications()
        battle.redis.kill()
        battle.redis.restart()
        if battle.random.random() < 0.5:
            battle.cut()
    battle.some_publications()
    assert battle.finish() >= SUBSCRIBERS
