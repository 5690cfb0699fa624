"""The official Python client through every feature that it has.

What this prints and why is in sdk.mjs.
"""

import asyncio
import json
import os
import sys

from centrifuge import (CentrifugeError, Client, ClientEventHandler, StreamPosition,
                        SubscriptionEventHandler)

PATIENCE = 10.0
CHANNEL, SERVER_CHANNEL = os.environ.get("WH_CHANNEL"), os.environ.get("WH_SERVER_CHANNEL")
IS_PROTOBUF = os.environ["WH_ENCODING"] == "Protobuf"


def payload(number):
    return json.dumps({"n": number}).encode() if IS_PROTOBUF else {"n": number}


def number_of(publication):
    return (json.loads(publication.data) if IS_PROTOBUF else publication.data)["n"]


def count(last):
    return list(range(1, last + 1))


class ClientRecord(ClientEventHandler):
    def __init__(self):
        self.interruptions = 0
        self.subscribed = []
        self.numbers = []

    async def on_connecting(self, ctx):
        self.interruptions += 1

    async def on_subscribed(self, ctx):
        self.subscribed.append(ctx)

    async def on_publication(self, ctx):
        if ctx.channel == SERVER_CHANNEL:
            self.numbers.append(number_of(ctx.pub))


class SubscriptionRecord(SubscriptionEventHandler):
    def __init__(self):
        self.subscribed = []
        self.numbers = []
        self.authors = []
        self.joins = []
        self.leaves = []

    async def on_subscribed(self, ctx):
        self.subscribed.append(ctx)

    async def on_publication(self, ctx):
        self.numbers.append(number_of(ctx.pub))
        if ctx.pub.info:
            self.authors.append(ctx.pub.info.user)

    async def on_join(self, ctx):
        self.joins.append(ctx.info.user)

    async def on_leave(self, ctx):
        self.leaves.append(ctx.info.user)


async def wait(what, condition):
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(f"waited in vain: {what}")
        await asyncio.sleep(0.005)  # between polls of a bounded wait


async def ask(what):
    """The test does something with the network, and then answers."""
    print("ask", what, flush=True)
    assert await asyncio.to_thread(sys.stdin.readline), f"nobody did {what}"


class Scenario:
    def __init__(self):
        self.tokens = 0
        self.seen = ClientRecord()
        self.main = SubscriptionRecord()
        options = {"use_protobuf": IS_PROTOBUF, "min_reconnect_delay": 0.02,
                   "max_reconnect_delay": 0.2}
        self.client = Client(os.environ["WH_FRONT"], events=self.seen, get_token=self.get_token,
                             token=os.environ["WH_SHORT_TOKEN"], **options)
        self.other = Client(os.environ["WH_BACK"], token=os.environ["WH_OTHER_TOKEN"], **options)
        self.subscription = self.client.new_subscription(CHANNEL, self.main)
        self.theirs = self.other.new_subscription(CHANNEL)

    async def get_token(self, *_):
        self.tokens += 1
        return os.environ["WH_TOKEN"]

    async def publish_all(self, channel, first, last):
        for number in range(first, last + 1):
            await self.other.publish(channel, payload(number))

    async def connect(self):
        await self.client.connect()
        await self.other.connect()
        await self.client.ready(PATIENCE)
        await self.other.ready(PATIENCE)

    async def subscribe(self):
        await self.subscription.subscribe()
        await wait("a subscription", lambda: len(self.main.subscribed) == 1)
        assert self.main.subscribed[0].recoverable

    async def server_side_subscription(self):
        await wait("the subscription of the token", lambda: len(self.seen.subscribed) == 1)
        event = self.seen.subscribed[0]
        assert event.channel == SERVER_CHANNEL and event.recoverable, event
        await self.publish_all(SERVER_CHANNEL, 1, 1)
        await wait("its publication", lambda: self.seen.numbers == [1])

    async def join(self):
        await self.theirs.subscribe()
        await wait("a join", lambda: "bob" in self.main.joins)

    async def publish(self):
        await self.subscription.publish(payload(1))
        await wait("the publication", lambda: self.main.numbers == [1])
        assert self.main.authors == ["ann"], self.main.authors

    async def presence(self):
        clients = (await self.subscription.presence()).clients
        assert all(key == info.client for key, info in clients.items()), clients
        assert sorted(info.user for info in clients.values()) == ["ann", "bob"], clients

    async def presence_stats(self):
        stats = await self.subscription.presence_stats()
        assert (stats.num_clients, stats.num_users) == (2, 2), stats

    async def history(self):
        await self.publish_all(CHANNEL, 2, 3)
        for options, wanted in (({}, []), ({"limit": 10}, [1, 2, 3]),
                                ({"limit": 2, "reverse": True}, [3, 2])):
            result = await self.subscription.history(**options)
            assert [number_of(publication) for publication in result.publications] == wanted
            assert result.offset == 3 and result.epoch, result
        try:
            await self.subscription.history(limit=1, since=StreamPosition(1, "other"))
        except CentrifugeError as refused:
            assert refused.code == 112, refused
        else:
            raise AssertionError("a history of another epoch")

    async def leave(self):
        await self.theirs.unsubscribe()
        await wait("a leave", lambda: "bob" in self.main.leaves)

    async def refresh(self):
        await wait("a call for a token", lambda: self.tokens == 1)
        await ask("wait for the end of the first token")
        await self.client.history(CHANNEL)
        assert self.seen.interruptions == 1

    async def recover(self):
        await ask("cut")
        await wait("an interruption", lambda: self.seen.interruptions == 2)
        await self.publish_all(CHANNEL, 4, 30)
        await self.publish_all(SERVER_CHANNEL, 2, 20)
        await ask("mend")
        await wait("the subscription", lambda: len(self.main.subscribed) == 2)
        event = self.main.subscribed[1]
        assert event.was_recovering and event.recovered, event
        await wait("what was missed", lambda: self.main.numbers == count(30))

    async def server_side_recover(self):
        await wait("the subscription", lambda: len(self.seen.subscribed) == 2)
        event = self.seen.subscribed[1]
        assert event.was_recovering and event.recovered, event
        await wait("what was missed", lambda: self.seen.numbers == count(20))


class Calls:
    """The methods of services/examples, as a user and as nobody."""

    def __init__(self):
        options = {"use_protobuf": IS_PROTOBUF, "timeout": PATIENCE}
        self.client = Client(os.environ["WH_FRONT"], token=os.environ["WH_TOKEN"], **options)
        self.nobody = Client(os.environ["WH_FRONT"], **options)

    async def call(self, method, params, client=None):
        data = json.dumps(params).encode() if IS_PROTOBUF else params
        answer = (await (client or self.client).rpc(method, data)).data
        return json.loads(answer) if IS_PROTOBUF else answer

    async def refused(self, code, *args):
        try:
            answer = await self.call(*args)
        except CentrifugeError as error:
            assert error.code == code, error
        else:
            raise AssertionError(f"{answer} in place of {code}")

    async def connect(self):
        for client in (self.client, self.nobody):
            await client.connect()
            await client.ready(PATIENCE)

    async def rpc(self):
        answer = await self.call("echo.v1.say", {"text": "ü🙂"})
        assert answer["text"] == "ü🙂" and answer["by"], answer
        assert (await self.call("echo.v1.whoami", {}))["user"] == "ann"

    async def calls_at_once(self):
        answers = await asyncio.gather(*(self.call("echo.v1.say", {"text": n}) for n in range(100)))
        assert [answer["text"] for answer in answers] == list(range(100)), answers

    async def errors(self):
        await self.refused(101, "echo.v1.whoami", {}, self.nobody)
        await self.refused(104, "echo.v1.nothing", {})
        await self.refused(104, "nobody.v1.say", {})
        await self.refused(400, "echo.v1.say", {})
        await self.refused(100, "echo.v1.wait", {"ms": "long"})
        await self.refused(1504, "echo.v1.wait", {"ms": 600})


async def make_calls():
    calls = Calls()
    for name in ("connect", "rpc", "calls at once", "errors"):
        try:
            await getattr(calls, name.replace(" ", "_"))()
        except Exception as error:
            print(f"fail {name}: {error!r}", flush=True)
            return 1
        print("ok", name, flush=True)
    await calls.client.disconnect()
    await calls.nobody.disconnect()
    return 0


async def main():
    scenario = Scenario()
    for name in ("connect", "subscribe", "server-side subscription", "join", "publish", "presence",
                 "presence stats", "history", "leave", "refresh", "recover",
                 "server-side recover"):
        try:
            await getattr(scenario, name.replace(" ", "_").replace("-", "_"))()
        except Exception as error:
            print(f"fail {name}: {error!r}; seen: {vars(scenario.seen)} {vars(scenario.main)}",
                  flush=True)
            return 1
        print("ok", name, flush=True)
    await scenario.client.disconnect()
    await scenario.other.disconnect()
    return 0


sys.exit(asyncio.run(make_calls() if "WH_RPC" in os.environ else main()))
