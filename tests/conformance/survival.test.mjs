// Processes that die or leave, and several of them at once.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { once, waitFor } from '../support/harness.mjs';
import { onEachBroker, startBalancer, subscribe, useHubs } from './support.mjs';

onEachBroker('survival', (context) => {
  test('the client reconnects and resubscribes after its worker was killed', async () => {
    const hub = await context.start();
    const client = await context.connected(hub.wsUrl);
    const subscription = await subscribe(client, 'talk');
    const connecting = once(client, 'connecting');
    const connected = once(client, 'connected', { timeout: 10000 });
    const subscribed = once(subscription, 'subscribed', { timeout: 10000 });
    const victim = hub.killWorker();
    await connecting;
    await connected;
    await subscribed;
    await subscription.publish('after');
    await waitFor('the publication', () => subscription.received.length === 1);
    assert(!hub.workerPids.includes(victim));
    await hub.waitLog('worker_died', { pid: victim });
  });

  test('a hub that drains sends its clients to the other one (3001)', async () => {
    const [first, second] = [await context.start(), await context.start()];
    const balancer = await startBalancer(first);
    context.atEnd(balancer.close);
    const client = await context.connected(balancer.wsUrl);
    const subscription = await subscribe(client, 'talk');
    const connecting = once(client, 'connecting');
    const subscribed = once(subscription, 'subscribed', { timeout: 10000 });
    balancer.target = second;
    first.terminate();
    const { code, reason } = await connecting;
    assert.deepEqual({ code, reason }, { code: 3001, reason: 'shutdown' });
    await subscribed;
    const other = await context.connected(second.wsUrl);
    const theirs = await subscribe(other, 'talk');
    await theirs.publish('welcome');
    await waitFor('the publication', () => subscription.received.length === 1);
  });
});

describe('two workers and two hubs', () => {
  const context = useHubs('redis');
  const COUNT = 300;
  const CLIENTS = 8; // a hub: enough for both of its workers to get some
  const numbers = Array.from({ length: COUNT }, (_, number) => number);

  // Clients of both hubs, until every worker has one.
  const connectEverywhere = async (hubs, channel) => {
    const subscriptions = [];
    for (const hub of hubs) {
      await waitFor(`clients on every worker (${CLIENTS} a round)`, async () => {
        for (let number = 0; number < CLIENTS; number += 1) {
          subscriptions.push(await subscribe(await context.connected(hub.wsUrl), channel));
        }
        const workers = hub.records.filter((record) => record.event === 'connected')
          .map((record) => record.worker);
        return new Set(workers).size === 2;
      });
    }
    return subscriptions;
  };

  const everybodyGot = async (subscriptions, what) => {
    for (const { received } of subscriptions) {
      await waitFor(what, () => received.at(-1)?.data === 'end', { timeout: 10000 });
      assert.deepEqual(received.map((event) => event.data), [...numbers, 'end']);
      received.length = 0;
    }
  };

  test('one publish reaches every client once and in order', async () => {
    const config = { workers: 2, log: { level: 'debug' } };
    const hubs = [await context.start(config), await context.start(config)];
    const subscriptions = await connectEverywhere(hubs, 'talk');
    await context.redis.waitSubscribers('talk', 4);

    await context.redis.publishAll('talk', [...numbers, 'end'].map((n) => JSON.stringify(n)));
    await everybodyGot(subscriptions, 'every plain PUBLISH');
    const publish = (data) => subscriptions[0].publish(data);
    await Promise.all([...numbers, 'end'].map(publish));
    await everybodyGot(subscriptions, 'every publish of a client');
  });
});
