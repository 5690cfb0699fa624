"""Recovery of libwirehub while everything between it and the server is hurt, and every offset counted.

A publisher publishes numbered payloads by the server API, past the proxies.  Clients in several modes
of the library and in all encodings of the server follow the same channels, by subscriptions of their
own and by the server's; each mode is a process behind a proxy of its own.  A schedule made of a seed
cuts, stalls, splits and drips, kills the server and Redis, deletes history, and lets programs leave
and come back.  Then the faults end, everybody has to arrive at the server's last offset, and
recovery_judge.py reads what each client noted.

    ./dev chaos sdk [--server hub|centrifugo] [--seconds S] [--seed X]
                    [--modes threaded,dispatch,loop,uv,ev,glib]

The same seed gives the same faults in the same order to the same processes, not at the same instants.
"""

import argparse
import contextlib
import dataclasses
import http.client
import os
import random
import sys
import threading
import time

from support.centrifugo import Unavailable
from support.event_scripts import Program
from support.fault_proxy import FaultProxy
from support.hub import ROOT
from support.recovery_judge import Channel, Tally, judge, place_of
from support.redis_server import RedisServer
from support.sdk_server import ANYBODY, ApiError
from support.sdk_world import SERVERS, lose_stream

PROGRAM = os.environ.get("WIREHUB_TEST_EVENT_SCRIPT", str(ROOT / "build/debug/bin/event_script"))
MODES = ("threaded", "dispatch", "loop")
ALL_MODES = (*MODES, "uv", "ev", "glib")
PING_SECONDS = 2
PING_DELAY_MS = 500
REACTION_SECONDS = 20.0  # for what a client does within 2 s on a machine of its own
PUBLISH_SECONDS = 0.004  # leaves the processor to the others
DISCONNECT_TRIES = 10
RECONNECT_CODE = 4100  # of the range after which a client comes back

LONG, SHORT = 100000, 20
OWN = Channel("long:own", LONG), Channel("short:own", SHORT), Channel("patched:own", LONG), \
    Channel("long:leaving", LONG)
MADE_BY_SERVER = Channel("long:made", LONG), Channel("short:made", SHORT)
CHANNELS = OWN + MADE_BY_SERVER
LEAVE_EVERY = 13  # publications of long:leaving, in the callback of which a client leaves and comes …
LINGER_MS = 10  # … and works on for a while

KEPT = {**ANYBODY, "history_ttl": "3000s", "force_recovery": True}
CONFIG = {
    "client": {"ping_interval": f"{PING_SECONDS}s", "pong_timeout": "1s",
               "recovery_max_publication_limit": LONG},
    "channel": {"namespaces": [
        {"name": "long", **KEPT, "history_size": LONG},
        {"name": "short", **KEPT, "history_size": SHORT},
        {"name": "patched", **KEPT, "history_size": LONG, "allowed_delta_types": ["fossil"]},
    ]},
}
# With all of Redis on disk before it answers, so that nothing is lost when it is killed.
REDIS = "--appendonly", "yes", "--appendfsync", "always"


def wait_until(condition, what, check=lambda: None, seconds=REACTION_SECONDS):
    deadline = time.monotonic() + seconds
    while not condition():
        check()
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what()} within {seconds:.0f} s")
        time.sleep(0.005)  # between polls of a bounded wait


class Noting(Program):
    """A client program; what its clients say of a channel is kept as it comes."""

    def __init__(self, command):
        self.notes = {}  # (client, channel) -> events
        self.states = {}  # client -> the other events, for the reader of a failure
        super().__init__(command)

    def keep(self, line):
        event = line.get("event", "")
        if event.endswith(("publication", "_subscribed")) or event == "subscribed":
            self.notes.setdefault((line["client"], line["channel"]), []).append(line)
        elif event:
            self.states.setdefault(line["client"], []).append(line)
        return bool(event)


class Group:
    """The clients of one mode, one for each encoding, and the proxy before them."""

    def __init__(self, server, mode):
        self.server = server
        self.mode = mode
        self.proxy = FaultProxy(server.port)
        self.names = [f"{mode}-{encoding}" for encoding in server.encodings]
        try:
            self.program = Noting((PROGRAM, mode))
        except BaseException:
            self.proxy.close()
            raise

    def start(self):
        for name, encoding in zip(self.names, self.server.encodings):
            self._start_client(name, encoding)
        for name in self.names:
            for channel in CHANNELS:
                wait_until(lambda key=(name, channel.name): self.program.notes.get(key),
                           lambda: f"{name} is not subscribed to {channel.name}", self.check)

    def _start_client(self, name, encoding):
        token = self.server.token(name, subs={c.name: {} for c in MADE_BY_SERVER})
        self.program.command({
            "do": "client", "client": name, "url": self.proxy.ws_url, "encoding": encoding,
            "token": token, "positions": True, "timeout_ms": 2000, "connect_timeout_ms": 2000,
            "min_reconnect_ms": 20, "max_reconnect_ms": 200,
            "max_server_ping_delay_ms": PING_DELAY_MS})
        for channel in OWN:
            self.program.command({
                "do": "subscription", "client": name, "channel": channel.name,
                "recoverable": True, "delta": channel.name.startswith("patched"),
                "leave_every": LEAVE_EVERY if channel.name.endswith("leaving") else 0,
                "linger_ms": LINGER_MS, "min_resubscribe_ms": 20, "max_resubscribe_ms": 200})
            self.tell("subscribe", name, channel.name)
        self.tell("connect", name)

    def tell(self, what, name, channel=None):
        command = {"do": what, "client": name, "as": ""}
        self.program.command({**command, "channel": channel} if channel else command)

    def check(self):
        if self.program.process.poll() is not None:
            raise AssertionError(f"{self.mode} ended with {self.program.process.returncode}: "
                                 f"{''.join(self.program.errors)}")

    def end(self):
        self.program.end()

    def close(self):
        self.program.close()
        self.proxy.close()


class Publisher:
    """Publishes {"n": 1}, {"n": 2}, … to one channel after the other, each at most once.
    `acknowledged`: (channel, epoch, offset) -> n of those that the server confirmed."""

    def __init__(self, server):
        self.server = server
        self.count = 0
        self.failures = 0
        self.acknowledged = {}
        self.bug = None
        self.is_stopped = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        try:
            while not self.is_stopped.is_set():
                self.publish()
                self.is_stopped.wait(PUBLISH_SECONDS)
        except BaseException as bug:  # handed to the run by check()
            self.bug = bug

    def publish(self):
        channel = CHANNELS[self.count % len(CHANNELS)].name
        self.count += 1
        data = {"n": self.count, "of": channel, "text": "the same words in every one of them"}
        options = {"delta": True} if channel.startswith("patched") else {}
        try:
            answer = self.server.api("publish", timeout=2.0, channel=channel, data=data, **options)
            self.acknowledged[channel, answer["epoch"], answer["offset"]] = self.count
        except (OSError, ValueError, http.client.HTTPException, ApiError):
            self.failures += 1  # it may have happened

    def check(self):
        if self.bug:
            raise self.bug

    def stop(self):
        self.is_stopped.set()
        if self.thread.ident is not None:
            self.thread.join(30)


@dataclasses.dataclass
class Outcome:
    seed: int
    faults: dict  # name -> how often
    published: int
    unconfirmed: int
    connections: int
    tallies: dict  # (client, channel) -> Tally
    seconds: float = 0.0

    def __str__(self):
        total = sum(self.tallies.values(), Tally())
        clients = len({client for client, _ in self.tallies})
        return (f"seed {self.seed}: {sum(self.faults.values())} faults in {self.seconds:.0f} s, "
                f"{self.published} published, {self.unconfirmed} unconfirmed; "
                f"{clients} clients, {self.connections} connections, "
                f"{total.publications} deliveries each in its place, {total.recovered} times "
                f"recovered, {total.lost} times told of a loss")


class Faults:
    """Each a context: what is hurt while publications go on, and healed behind it."""

    def __init__(self, run, chance):
        self.run = run
        self.chance = chance

    # Of the network, before one group

    @contextlib.contextmanager
    def cut(self, group):
        accepted = group.proxy.accepted
        group.proxy.cut(self.chance.choice(("rst", "fin")))
        yield
        group.proxy.wait_accepted(accepted + 1, REACTION_SECONDS)

    @contextlib.contextmanager
    def cut_in_a_frame(self, group):
        group.proxy.set(down={"cut_after": self.chance.randrange(1, 400)})
        yield
        group.proxy.wait(lambda proxy: proxy.faults["down"]["cut_after"] is None, "the cut",
                         REACTION_SECONDS)

    @contextlib.contextmanager
    def cut_in_a_command(self, group):
        """In the upgrade request, the connect or a subscribe command of somebody."""
        group.proxy.set(up={"cut_after": self.chance.randrange(1, 2000)})
        group.proxy.cut("rst")
        yield
        group.proxy.wait(lambda proxy: proxy.faults["up"]["cut_after"] is None, "the cut",
                         REACTION_SECONDS)

    @contextlib.contextmanager
    def stall(self, group):
        """Until all have noticed that no ping comes, and knock anew."""
        accepted = group.proxy.accepted
        group.proxy.stall()
        yield
        group.proxy.wait_accepted(accepted + len(group.names), REACTION_SECONDS)
        group.proxy.heal()

    @contextlib.contextmanager
    def stall_of_the_answers(self, group):
        """Half open: the server hears the client, the client hears nothing."""
        accepted = group.proxy.accepted
        group.proxy.set(down={"stalled": True})
        yield
        group.proxy.wait_accepted(accepted + len(group.names), REACTION_SECONDS)
        group.proxy.heal()

    @contextlib.contextmanager
    def split(self, group):
        """Each byte a segment, the handshakes of new connections too."""
        writes = group.proxy.writes["down"]
        group.proxy.set(up={"split": 1}, down={"split": 1})
        if self.chance.random() < 0.5:
            group.proxy.cut("rst")
        yield
        group.proxy.wait(lambda proxy: proxy.writes["down"] > writes + 500, "bytes",
                         REACTION_SECONDS)
        group.proxy.heal()

    @contextlib.contextmanager
    def drip(self, group):
        """One byte a second: some bytes come all the time and no frame ever does."""
        accepted = group.proxy.accepted
        group.proxy.set(up={"rate": 1}, down={"rate": 1})
        yield
        group.proxy.wait_accepted(accepted + len(group.names), REACTION_SECONDS)
        group.proxy.heal()

    @contextlib.contextmanager
    def delay(self, group):
        group.proxy.set(down={"delay": self.chance.uniform(0.01, 0.3)})
        yield
        group.proxy.heal()

    @contextlib.contextmanager
    def doubled_close(self, group):
        accepted = group.proxy.accepted
        group.proxy.set(down={"doubled_close": True})
        self.disconnect(group)
        yield
        for _ in range(DISCONNECT_TRIES):
            if group.proxy.accepted > accepted:
                break
            self.disconnect(group)  # they had not come back from the fault before
        else:
            raise TimeoutError(f"nobody of {group.mode} came back after a disconnect of the server")
        group.proxy.heal()

    def disconnect(self, group):
        """By the server, all of them; until somebody knocks anew, or 2 s."""
        accepted = group.proxy.accepted
        for name in group.names:
            self.run.disconnect(name)
        with contextlib.suppress(TimeoutError):
            group.proxy.wait_accepted(accepted + 1, 2.0)
        self.run.check()

    @contextlib.contextmanager
    def refuse(self, group):
        group.proxy.refuse()
        group.proxy.cut("rst")
        yield
        group.proxy.heal()

    # Of the program

    @contextlib.contextmanager
    def leave_channels(self, group):
        for name in group.names:
            for channel in OWN:
                group.tell("unsubscribe", name, channel.name)
        yield
        for name in group.names:
            for channel in OWN:
                group.tell("subscribe", name, channel.name)

    @contextlib.contextmanager
    def come_back_at_once(self, group):
        for _ in range(5):
            for name in group.names:
                for channel in OWN:
                    group.tell("unsubscribe", name, channel.name)
                    group.tell("subscribe", name, channel.name)
        yield

    @contextlib.contextmanager
    def go_offline(self, group):
        for name in group.names:
            group.tell("disconnect", name)
        yield
        for name in group.names:
            group.tell("connect", name)

    # Of the server, for everybody

    @contextlib.contextmanager
    def kill_server(self, _):
        before = [(group, group.proxy.accepted) for group in self.run.groups]
        self.run.server.kill()
        for group, accepted in before:  # all have knocked in vain
            group.proxy.wait_accepted(accepted + 1, REACTION_SECONDS)
        self.run.server.restart()
        yield

    @contextlib.contextmanager
    def kill_redis(self, _):
        failures = self.run.publisher.failures
        self.run.redis.kill()
        self.run.wait(lambda: self.run.publisher.failures > failures,
                      lambda: "publishing did not fail without Redis")
        self.run.redis.restart()
        yield

    @contextlib.contextmanager
    def kill_links_to_redis(self, _):
        self.run.redis.cli("CLIENT", "KILL", "TYPE", "pubsub")
        yield

    @contextlib.contextmanager
    def lose(self, _):
        """A short channel is forgotten: its next publication is in another epoch."""
        lose_stream(self.run.redis, self.chance.choice(("short:own", "short:made")))
        yield


QUICK = ("cut", "cut_in_a_frame", "cut_in_a_command", "split", "delay", "doubled_close", "refuse",
         "leave_channels", "come_back_at_once", "go_offline")
OF_A_GROUP = (*QUICK, "stall", "stall_of_the_answers", "drip")
OF_THE_SERVER = ("kill_server", "kill_redis", "kill_links_to_redis", "lose")


def rounds(seed, modes):
    """For ever: lists of steps, a step being faults at the same time, [(name, mode), …], never two
    before the same group.  In each round is every fault at least once."""
    chance = random.Random(f"recovery {seed}")
    while True:
        of_group = [(name, chance.choice(modes)) for name in OF_A_GROUP]
        of_server = [(name, None) for name in OF_THE_SERVER]
        steps = [[fault] for fault in of_group + of_server]
        chance.shuffle(steps)
        for step in steps:
            others = [mode for mode in modes if mode not in (step[0][1],)]
            if others and chance.random() < 0.7:
                step.append((chance.choice(QUICK), chance.choice(others)))
        yield steps


class Run:
    """One server, several groups.  Raises recovery_judge.Unfair, TimeoutError, Unavailable."""

    def __init__(self, kind, seed, modes=MODES, say=print):
        self.seed = seed
        self.modes = modes
        self.say = say
        self.faults_done = {}
        self.chance = random.Random(f"faults {seed}")
        self.rounds = rounds(seed, modes)
        self.began = time.monotonic()
        self.groups = []
        with contextlib.ExitStack() as stack:
            self.redis = stack.enter_context(RedisServer(*REDIS))
            options = {"with_methods": False} if kind == "hub" else {}
            self.server = stack.enter_context(SERVERS[kind](self.redis, CONFIG, **options))
            self.publisher = Publisher(self.server)
            stack.callback(self.publisher.stop)
            for mode in modes:
                group = Group(self.server, mode)
                stack.callback(group.close)
                self.groups.append(group)
            self.stack = stack.pop_all()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return self.stack.__exit__(*error)

    def check(self):
        self.publisher.check()
        self.server.check_alive()
        for group in self.groups:
            group.check()

    def wait(self, condition, what):
        wait_until(condition, what, self.publisher.check)

    def start(self):
        for group in self.groups:
            group.start()
        self.publisher.thread.start()

    def some_publications(self):
        wanted = len(self.publisher.acknowledged) + self.chance.randrange(2, 60)
        wait_until(lambda: len(self.publisher.acknowledged) >= wanted,
                   lambda: "nothing is published any more", self.check)

    def disconnect(self, name):
        try:
            self.server.disconnect(name, RECONNECT_CODE, "come back")
        except ApiError as error:
            if error.code != 100:  # a killed node has not answered; the living one has obeyed
                raise

    def round(self):
        """Every fault once, and some besides."""
        for step in next(self.rounds):
            self.some_publications()
            faults = Faults(self, self.chance)
            with contextlib.ExitStack() as stack:
                for name, mode in step:
                    group = next((g for g in self.groups if g.mode == mode), None)
                    self.say(f"{time.monotonic() - self.began:6.1f} s  {name} {mode or ''}")
                    stack.enter_context(getattr(faults, name)(group))
                    self.faults_done[name] = self.faults_done.get(name, 0) + 1
                self.some_publications()

    def top(self, channel):
        answer = self.server.api("history", channel=channel, limit=0)
        return answer["epoch"], answer.get("offset", 0)

    def finish(self):
        """No more faults, no more publications: everybody arrives, and is judged."""
        self.publisher.stop()
        tops = {channel.name: self.top(channel.name) for channel in CHANNELS}
        for group in self.groups:
            for (name, channel), notes in group.program.notes.items():
                wait_until(lambda notes=notes, channel=channel: place_of(notes) == tops[channel],
                           lambda notes=notes, name=name, channel=channel, group=group:
                           f"{name} in {channel} is at {place_of(notes)}, not at {tops[channel]}: "
                           f"{notes[-3:]}, {group.program.states[name][-12:]}", self.check)
        for group in self.groups:
            group.end()
        return self.judge(tops)

    def judge(self, tops):
        everything = {}
        tallies = {(name, channel.name): judge(group.program.notes[name, channel.name], channel,
                                               everything, self.publisher.acknowledged,
                                               tops[channel.name])
                   for group in self.groups for name in group.names for channel in CHANNELS}
        return Outcome(self.seed, self.faults_done, len(self.publisher.acknowledged),
                       self.publisher.failures,
                       sum(group.proxy.accepted for group in self.groups), tallies,
                       time.monotonic() - self.began)


def recover(kind, seed, seconds=0, modes=MODES, say=print):
    """One round at least, and as many as begin within `seconds`; its Outcome."""
    with Run(kind, seed, modes, say) as run:
        run.start()
        while True:
            run.round()
            if time.monotonic() - run.began >= seconds:
                return run.finish()


def main():
    parser = argparse.ArgumentParser(prog="./dev chaos sdk", description=__doc__.split("\n\n")[0])
    parser.add_argument("--server", choices=SERVERS, default="hub")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2 ** 32))
    parser.add_argument("--modes", default=",".join(ALL_MODES),
                        help="comma separated; default: %(default)s")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    try:
        outcome = recover(options.server, options.seed, options.seconds, options.modes.split(","),
                          lambda text: print(text, flush=True))
    except Unavailable as problem:
        sys.exit(f"no Centrifugo: {problem}")
    except BaseException:
        print(f"again: ./dev chaos sdk --server {options.server} --seconds {options.seconds:.0f} "
              f"--seed {options.seed} --modes {options.modes}", flush=True)
        raise
    print(outcome)


if __name__ == "__main__":
    main()
