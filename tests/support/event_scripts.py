"""Runs the scenarios of tests/conformance/scripts with a client program (the format of its input and
output is at the head of tests/conformance/event_script.mjs) against a world (sdk_world.py).

A script is a JSON object:
    about     what it shows, in a sentence
    steps     done in order, each one of
                {"do": …}               a command of the program.  "client" may be left out: "a".
                                        {"do": "client"} gets url, encoding and quick timers
                {"api": …}, {"proxy": …}, {"server": …}, {"lose": …}   a step of the world; with
                                        "save": NAME its result is $NAME below
                {"wait": {…members}}    for the next event or reply that has these members, behind
                                        what was waited for before; of client "a" or of "client"
    events    what each client must see: {"a": {"events": […], "replies": […]}, …}
    events_of {"hub": {"why": "…", "events": …}}: where a server is known to differ
    errors    true: events "error" count too (one for each run of equal ones); else they are left
              out, because how often a client fails while nobody listens is chance
    config    of a server of its own, merged over sdk_server.CONFIG
    encodings in which it makes sense; all that are there when left out
In all texts @ stands for something that no other run has; "$NAME.member" for a saved result; in
"token" and "tokens" an object with "sub" stands for a token with these claims ("exp_in": seconds).

    python3 -m support.event_scripts [--write] [--server hub] [--times N] [NAME…]
compares runs with each other, or writes "events" anew from a run with centrifuge-js.
"""

import argparse
import itertools
import json
import queue
import subprocess
import sys
import threading
import uuid

from support.hub import ROOT
from support.redis_server import RedisServer
from support.sdk_world import SERVERS, World

DIRECTORY = ROOT / "tests/conformance/scripts"
JS = ("node", str(ROOT / "tests/conformance/event_script.mjs"))
WAIT_SECONDS = 15.0
QUICK = {"min_reconnect_ms": 20, "max_reconnect_ms": 100}
QUICK_SUBSCRIPTION = {"min_resubscribe_ms": 20, "max_resubscribe_ms": 100}


class ScriptError(AssertionError):
    """The program did not do its part; the text has what it printed."""


def names():
    return sorted(path.stem for path in DIRECTORY.glob("*.json"))


def load(name):
    return json.loads((DIRECTORY / f"{name}.json").read_text(encoding="utf-8"))


class Program:
    """A client program while it runs."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.seen = []  # everything but acknowledgements, in order
        self.cursors = {}
        self.arrived = queue.Queue()
        self.errors = []
        self.threads = [threading.Thread(target=self._read, daemon=True),
                        threading.Thread(target=self._read_errors, daemon=True)]
        for thread in self.threads:
            thread.start()

    def _read(self):
        for line in self.process.stdout:
            event = json.loads(line)
            if not self.keep(event):
                self.arrived.put(event)
        self.arrived.put(None)

    def keep(self, line):
        """Whether a subclass takes this line for itself, as soon as it comes."""
        return False

    def _read_errors(self):
        self.errors += self.process.stderr.readlines()

    def _next(self, what):
        try:
            line = self.arrived.get(timeout=WAIT_SECONDS)
        except queue.Empty:
            line = None
        if line is None or "fatal" in line:
            raise ScriptError(f"{what} did not come: {line}; seen {json.dumps(self.seen)}; "
                              f"{''.join(self.errors)}")
        if "done" not in line:
            self.seen.append(line)
        return line

    def send(self, command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def command(self, command):
        """Sent, and done when this returns."""
        self.send(command)
        while "done" not in self._next(command):
            pass

    def wait(self, client, members):
        """Events and replies of a client have no order between them, so each has its cursor."""
        key = (client, "reply" in members)
        while True:
            for at in range(self.cursors.get(key, 0), len(self.seen)):
                line = self.seen[at]
                if line["client"] == client and has(line, members):
                    self.cursors[key] = at + 1
                    return line
            self._next(members)

    def end(self):
        self.process.stdin.write('{"do":"end"}\n')
        self.process.stdin.close()
        status = self.process.wait(WAIT_SECONDS)
        for thread in self.threads:
            thread.join(WAIT_SECONDS)
        if status != 0 or self.errors:
            raise ScriptError(f"ended with {status}: {''.join(self.errors)}")

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            stream.close()


def has(line, members):
    return all(line.get(key) == value for key, value in members.items())


class Run:
    """One script, one program, one world."""

    def __init__(self, world, command, encoding):
        self.world = world
        self.encoding = encoding
        self.tag = uuid.uuid4().hex[:8]
        self.saved = {}
        self.calls = itertools.count()
        self.program = Program(command)

    def play(self, script):
        try:
            for step in script["steps"]:
                self._step(self._fill(step))
            self.program.end()
        finally:
            self.program.close()
        return normal(self._blank(self.program.seen), script.get("errors", False))

    def _step(self, step):
        if "wait" in step:
            self.program.wait(step.get("client", "a"), step["wait"])
        elif "do" in step:
            self.program.command(self._command(step))
        else:
            name = step.pop("save", None)
            result = self.world.do(step)
            if name:
                self.saved[name] = result

    def _command(self, step):
        step = {"client": "a", **step}
        if step["do"] == "client":
            step = {"url": self.world.url, "encoding": self.encoding, **QUICK, **step}
        elif step["do"] == "subscription":
            step = {**QUICK_SUBSCRIPTION, **step}
        return {"as": f"{next(self.calls):04}", **step}

    def _fill(self, value, is_token=False):
        if isinstance(value, str):
            if value.startswith("$") and value[1:].split(".")[0] in self.saved:
                name, _, member = value[1:].partition(".")
                return self.saved[name][member]
            return value.replace("@", self.tag)
        if isinstance(value, list):
            return [self._fill(item, is_token) for item in value]
        if not isinstance(value, dict):
            return value
        if is_token and "sub" in value:
            return self.world.do({"token": self._fill(value)})
        return {self._fill(key): self._fill(item, key in ("token", "tokens"))
                for key, item in value.items()}

    def _blank(self, seen):
        return json.loads(json.dumps(seen, ensure_ascii=False).replace(self.tag, "@"))


def expected(script, server):
    return script.get("events_of", {}).get(server, script).get("events")


def normal(seen, with_errors):
    """For each client its events in order, and its replies in the order of the calls."""
    clients = {}
    for line in seen:
        line = {key: value for key, value in line.items() if key != "text"}
        own = clients.setdefault(line.pop("client"), {"events": [], "replies": []})
        if "reply" in line:
            own["replies"].append(line)
        elif line["event"] != "error" or with_errors and own["events"][-1:] != [line]:
            own["events"].append(line)
    for own in clients.values():
        own["replies"].sort(key=lambda line: line["as"])
        for line in own["replies"]:
            del line["as"]
    return clients


def play(world, script, command=JS, encoding="json"):
    """What the clients saw, in the form of "events"."""
    return Run(world, command, encoding).play(script)


def dump(script):
    """A script as it is kept: one step and one event a line."""
    def lines(items, indent):
        pad = " " * indent
        return "[\n" + ",\n".join(f"{pad}  {json.dumps(item, ensure_ascii=False)}"
                                  for item in items) + f"\n{pad}]" if items else "[]"

    out = [f'  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}'
           for key, value in script.items() if key not in ("steps", "events")]
    out.append(f'  "steps": {lines(script["steps"], 2)}')
    clients = [f'    {json.dumps(name)}: {{\n      "events": {lines(own["events"], 6)},\n'
               f'      "replies": {lines(own["replies"], 6)}\n    }}'
               for name, own in sorted(script["events"].items())]
    out.append('  "events": {\n' + ",\n".join(clients) + "\n  }")
    return "{\n" + ",\n".join(out) + "\n}\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true", help="write events anew")
    parser.add_argument("--server", choices=SERVERS, default="hub")
    parser.add_argument("--encoding", default="json")
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--program", default=" ".join(JS))
    parser.add_argument("names", nargs="*", default=names())
    options = parser.parse_args()
    failed = 0
    with RedisServer() as redis:
        for name in options.names:
            script = load(name)
            with World(options.server, redis, script.get("config")) as world:
                for time in range(options.times):
                    try:
                        seen = play(world, script, options.program.split(), options.encoding)
                    except ScriptError as error:
                        seen = str(error)
                    else:
                        if options.write and time == 0:
                            script["events"] = seen
                            (DIRECTORY / f"{name}.json").write_text(dump(script), encoding="utf-8")
                    if seen != expected(script, options.server):
                        failed += 1
                        print(f"{name}: run {time + 1} differs: {json.dumps(seen)}")
            print(f"{name}: {options.times} runs", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
