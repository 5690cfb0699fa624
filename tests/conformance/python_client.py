"""The official Python client against the hub at argv[1]: JSON, or Protobuf with an argv[2].

Subscribes to "talk", publishes, and prints as JSON what it received.
"""

import asyncio
import json
import sys

from centrifuge import Client, SubscriptionEventHandler


class Collector(SubscriptionEventHandler):
    def __init__(self):
        self.received = asyncio.Queue()

    async def on_publication(self, ctx):
        await self.received.put(ctx.pub.data)


async def main(url, use_protobuf):
    client = Client(url, use_protobuf=use_protobuf)
    collector = Collector()
    subscription = client.new_subscription("talk", collector)
    await client.connect()
    await client.ready(timeout=5)
    await subscription.subscribe()
    await subscription.ready(timeout=5)
    value = {"from": "python"}
    await subscription.publish(json.dumps(value).encode() if use_protobuf else value)
    data = await asyncio.wait_for(collector.received.get(), 5)
    print(json.dumps(json.loads(data) if use_protobuf else data))
    await client.disconnect()


asyncio.run(main(sys.argv[1], len(sys.argv) > 2))
