"""Sends a client program (its input and output: tests/conformance/event_script.mjs) through rows of
the hostile server, and says in the words of hostile_server.py what came of each.

    python3 -m support.hostile_run [--program "node …"] [--at-once N] [ROW…]
"""

import argparse
import json
import queue
import sys
import time

from support.event_scripts import JS, Program
from support.hostile_server import BEHAVIOURS, FOREVER, HostileServer

ROW_SECONDS = 15.0
CLIENT = {"min_reconnect_ms": 20, "max_reconnect_ms": 100}
LOST = (2, 11)  # codes of a call whose connection was lost: what becomes of that is to be seen
ASKED = {"n": 1}
FOREVER_MEANS = 3


class ProgramEnded(Exception):
    """Which no client may do."""


class Judge:
    """What is known about one client so far."""

    def __init__(self, name, server):
        self.name = name
        self.server = server
        self.lines = []
        self.outcome = None
        self.is_answered = False
        self.connects = 0
        self.code = None
        self.subscription = []
        self.began = time.monotonic()

    def take(self, line):
        """One event or reply.  True when the client shall make its call now."""
        self.lines.append(line)
        what = line.get("event", "reply")
        handler = getattr(self, f"_{what}", None)
        if handler is not None and self.outcome is None:
            self.outcome = handler(line)
        if what == "connected" and self.outcome is None:
            return self.connects == 1
        return False

    def check_time(self):
        if self.outcome is None and self.name in FOREVER and \
                self.server.accepted.get(self.name, 0) >= FOREVER_MEANS:
            tokens = [line for line in self.lines if line.get("event") == "get_token"]
            self.outcome = "forever" if len(tokens) >= FOREVER_MEANS - 1 else "forever, no tokens"
        if self.outcome is None and time.monotonic() - self.began > ROW_SECONDS:
            self.outcome = "nothing"

    def _connecting(self, line):
        self.code = line.get("code")

    def _connected(self, _):
        self.connects += 1
        if self.connects == 2:
            return f"reconnect {self.code}"
        if self.server.accepted[self.name] > 1:
            said = any(line.get("event") == "error" for line in self.lines)
            return "retry" if said else "retry without a word"
        return None

    def _disconnected(self, line):
        return f"disconnected {line.get('code')}"

    def _unsubscribed(self, line):
        self.subscription.append(f"unsubscribed {line.get('code')}")
        return self._judge_subscription()

    def _subscribing(self, line):
        self.subscription.append(f"subscribing {line.get('code')}")

    def _subscribed(self, _):
        self.subscription.append("subscribed")
        return self._judge_subscription()

    def _reply(self, line):
        if line.get("code") in LOST:
            return None
        if "code" in line:
            return f"failed {line.get('code')}"
        if line.get("data") != ASKED:
            return "failed 0"
        self.is_answered = True
        return self._judge_subscription()

    def _judge_subscription(self):
        """When the call was answered over the first connection: what of the subscription?"""
        if not self.is_answered or self.subscription[-1].startswith("subscribing"):
            return None
        if self.subscription[-1].startswith("unsubscribed"):
            return self.subscription[-1]
        begun = [event for event in self.subscription if event.startswith("subscribing")]
        # An error of the first subscribe is tried again without an event.
        return "connected" if len(begun) == 1 else begun[-1].replace("subscribing", "resubscribed")


def judge(names, command=JS, at_once=12):
    """{name: (outcome, lines)}; the outcome is "crash" when the program ended by itself."""
    results = {}
    for begin in range(0, len(names), at_once):
        some = names[begin:begin + at_once]
        try:
            with HostileServer() as server:
                results.update(_judge_some(some, command, server))
                assert not server.failures, server.failures
        except ProgramEnded as end:
            # Whose doing was it?
            results.update({some[0]: ("crash", str(end))} if len(some) == 1
                           else judge(some, command, 1))
    return results


def _judge_some(names, command, server):
    judges = {name: Judge(name, server) for name in names}
    program = Program(command)
    try:
        for name in names:
            row = BEHAVIOURS[name]
            program.send({"do": "client", "client": name, "url": server.url(name),
                          "encoding": row.encoding, **CLIENT, **row.options})
            program.send({"do": "subscription", "client": name, "channel": "room",
                          "min_resubscribe_ms": 20, "max_resubscribe_ms": 100})
            program.send({"do": "subscribe", "client": name, "channel": "room"})
            program.send({"do": "connect", "client": name})
        while any(one.outcome is None for one in judges.values()):
            _take_one(program, judges)
        program.send({"do": "end"})
        assert program.process.wait(ROW_SECONDS) == 0, "".join(program.errors)
    finally:
        program.close()
    for name, one in judges.items():
        if one.outcome.startswith("disconnected") and server.accepted.get(name) != 1:
            one.outcome += f" after {server.accepted.get(name, 0)} connections"
    return {name: (one.outcome, one.lines) for name, one in judges.items()}


def _take_one(program, judges):
    try:
        line = program.arrived.get(timeout=0.1)
    except queue.Empty:
        line = {"done": ""}
    if line is None or "fatal" in line:
        raise ProgramEnded(f"{line} {''.join(program.errors)}")
    if "done" not in line:
        one = judges[line["client"]]
        if one.take(line):
            program.send({"do": "rpc", "client": one.name, "method": "echo", "data": ASKED,
                          "as": "call"})
    for one in judges.values():
        one.check_time()


def is_right(name, outcome, is_js=False):
    row = BEHAVIOURS[name]
    return outcome in row.expect or is_js and outcome in row.js


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default=" ".join(JS))
    parser.add_argument("--at-once", type=int, default=12)
    parser.add_argument("--encoding", action="append")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    names = options.names or [name for name, row in BEHAVIOURS.items()
                              if row.encoding in (options.encoding or ["json", "protobuf"])]
    wrong = 0
    for name, (outcome, lines) in judge(names, options.program.split(), options.at_once).items():
        if not is_right(name, outcome, options.program == " ".join(JS)):
            wrong += 1
            print(f"{name}: {outcome}, not {' or '.join(BEHAVIOURS[name].expect)}: "
                  f"{json.dumps(lines)[:600]}")
    print(f"{len(names)} rows, {wrong} with another outcome")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
