"""What the tests of services with a database share."""

import json
import os
import uuid

from support.hub import ROOT
from support.service import Caller, Service, wait_until

BINARY = os.environ.get("WIREHUB_DB_SERVICE", ROOT / "build/debug/bin/wirehub-dbtest")
STREAM = "wh:events:counter"
NOTES = "wh:events:note"
DEAD = "wh:events:dead:counters"
CRASHED = -9


def start(redis, url, *, crash_at=None, expected_exit=0, options=None, workers=2, env=None):
    env = {"WIREHUB_COUNTERS_DATABASE_URL": url, **(env or {})}
    if crash_at:
        env["WIREHUB_CRASH_AT"] = crash_at
        expected_exit = CRASHED
    return Service(redis, binary=BINARY, env=env, expected_exit=expected_exit,
                   options={"testing.journal": None, "workers": workers, "log.level": "debug",
                            **(options or {})})


def fields(entry):
    return {entry[1][i].decode(): entry[1][i + 1].decode() for i in range(0, len(entry[1]), 2)}


class World:
    """Redis, a database of this test, and somebody who calls."""

    def __init__(self, redis, postgres):
        self.redis = redis
        self.postgres = postgres
        self.database = f"test_{uuid.uuid4().hex[:12]}"
        self.url = postgres.create(self.database)
        self.caller = Caller(redis)
        self.services = []

    def start(self, *, ready=True, url=None, **options):
        service = start(self.redis, url or self.url, **options)
        self.services.append(service)
        if ready:
            service.wait_ready()
        return service

    def sql(self, text):
        return self.postgres.sql(text, self.database)

    def value(self, text):
        return self.postgres.value(text, self.database)

    def add(self, name, by=1, **options):
        names = ("sql", "emit", "refuse")
        params = {"name": name, "by": by, **{n: options.pop(n) for n in names if n in options}}
        method = "counters.v1.add_keyed" if options.pop("keyed", False) else "counters.v1.add"
        return self.caller.call(method, params, **options)

    def command(self, *words):
        return self.caller.commands.command(*words)

    def stream(self, name=STREAM):
        return [fields(entry) for entry in self.command("XRANGE", name, "-", "+")]

    def events(self, name=STREAM):
        return [json.loads(entry["event"]) for entry in self.stream(name)]

    def channel_events(self, name="counters"):
        """What is in the history of a client channel."""
        return [json.loads(entry[1][1]) for entry in
                self.command("XRANGE", f"wh:stream:{name}", "-", "+")]

    def note(self, text, subject="s", *, event_id=None, **data):
        """An event as any program would send it; its id."""
        event_id = event_id or str(uuid.uuid4())
        event = {"specversion": "1.0", "id": event_id, "source": "/test", "type": "note.made.v1",
                 "data": {"text": text, **data}}
        if subject:
            event["subject"] = subject
        self.command("XADD", NOTES, "*", "event", json.dumps(event))
        return event_id

    def seen(self):
        return [row[0] for row in self.sql("select text from seen order by position")]

    def wait_seen(self, texts):
        wait_until(lambda: sorted(self.seen()) == sorted(texts), f"not {texts}")

    def wait_sent(self):
        wait_until(lambda: self.value("select count(*) from outbox where sent_at is null") == "0",
                   "unsent events")

    def close(self):
        problems = []
        for service in reversed(self.services):
            try:
                service.close()
            except AssertionError as problem:
                problems.append(str(problem))
        self.caller.close()
        assert not problems, "\n".join(problems)
