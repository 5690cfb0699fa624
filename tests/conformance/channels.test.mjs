// Subscribing and publishing with the official client, and what it may not.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import WebSocket from 'ws';

import { inSeconds, makeToken, once, waitFor } from '../support/harness.mjs';
import { onEachBroker, rawSocket, refusal, subscribe, useHubs } from './support.mjs';

onEachBroker('channels', (context) => {
  test('what one client publishes the other receives, until it unsubscribes', async () => {
    const hub = await context.start();
    const [one, two] = [await context.connected(hub.wsUrl), await context.connected(hub.wsUrl)];
    const mine = await subscribe(one, 'talk');
    const theirs = await subscribe(two, 'talk');
    await mine.publish({ n: 1 });
    await waitFor('the first', () => theirs.received.length === 1);
    const unsubscribed = once(theirs, 'unsubscribed');
    theirs.unsubscribe();
    await unsubscribed;
    await mine.publish({ n: 2 });
    await waitFor('both at the author', () => mine.received.length === 2);
    const again = once(theirs, 'subscribed');
    theirs.subscribe();
    await again;
    await mine.publish({ n: 3 });
    await waitFor('the third', () => theirs.received.length === 2 && mine.received.length === 3);
    assert.deepEqual(theirs.received.map((event) => event.data.n), [1, 3]);
    assert.deepEqual(mine.received.map((event) => event.data.n), [1, 2, 3]);
  });

  test('any JSON value comes back as it went', async () => {
    const hub = await context.start();
    const client = await context.connected(hub.wsUrl);
    const subscription = await subscribe(client, 'values');
    const values = [0, -1.5, 1e300, 9007199254740991, '', 'ü\u0000\n"\\🙂', true, false, [], {},
      [null], { a: { b: [1, { c: null }] } }, 'x'.repeat(30000)];
    for (const value of values) await subscription.publish(value);
    await waitFor('all values', () => subscription.received.length === values.length);
    assert.deepEqual(subscription.received.map((event) => event.data), values);
  });

  test('connect and a hundred subscribes in the first frame are all answered', async () => {
    const hub = await context.start();
    const sent = [];
    class RecordingSocket extends WebSocket {
      send(data, ...rest) {
        sent.push(String(data));
        super.send(data, ...rest);
      }
    }
    const client = context.client(hub.wsUrl, { websocket: RecordingSocket });
    const ready = [];
    for (let number = 0; number < 100; number += 1) {
      const subscription = client.newSubscription(`batch-${number}`);
      ready.push(once(subscription, 'subscribed'));
      subscription.subscribe();
    }
    client.connect();
    await Promise.all(ready);
    assert.equal(sent[0].split('\n').length, 101, 'the client batches');
  });
});

describe('permissions', () => {
  const context = useHubs('memory');
  const config = {
    client: { channel_limit: 3 },
    channel: {
      namespaces: [
        { name: 'closed' },
        { name: 'market', allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true },
        { name: 'users', allow_subscribe_for_client: true, allow_publish_for_client: true },
        { name: 'orders', allow_user_limited_channels: true },
      ],
    },
  };

  test('a refused subscription says why', async () => {
    const hub = await context.start(config);
    const anonymous = await context.connected(hub.wsUrl);
    const ann = await context.connected(hub.wsUrl, { token: makeToken({ sub: 'ann' }) });
    const cases = [
      [anonymous, 'nowhere:x', 102],
      [anonymous, 'closed:x', 103],
      [anonymous, 'users:x', 103],
      [anonymous, '$private', 103],
      [anonymous, 'x'.repeat(256), 107],
      [anonymous, 'ümlaut', 107],
      [ann, 'closed:x', 103],
      [ann, 'orders:live#bob', 103],
      [ann, 'orders:live', 103],
    ];
    for (const [client, channel, code] of cases) {
      assert.equal(await refusal(client, channel), code, channel);
    }
    for (const channel of ['users:x', 'orders:live#ann', 'orders:live#bob,ann']) {
      await subscribe(ann, channel);
    }
    assert.equal(await refusal(ann, 'talk'), 106, 'the channel limit');
  });

  test('a refused publication says why', async () => {
    const hub = await context.start(config);
    const client = await context.connected(hub.wsUrl, { token: makeToken({ sub: 'ann' }) });
    await subscribe(client, 'market:x');
    const cases = [
      ['nowhere:x', {}, 102],
      ['market:x', {}, 103],
      ['closed:x', {}, 103],
      ['not-subscribed', {}, 103],
      ['x'.repeat(256), {}, 107],
      ['users:x', undefined, 107],
    ];
    for (const [channel, data, code] of cases) {
      await assert.rejects(client.publish(channel, data),
        (error) => (assert.equal(error.code, code, channel), true));
    }
    await client.publish('users:x', {});
  });

  test('what is not there yet answers 108 and leaves the connection alone', async () => {
    const hub = await context.start(config);
    const client = await context.connected(hub.wsUrl);
    await subscribe(client, 'market:x');
    for (const ask of [() => client.rpc('orders.v1.list', {}), () => client.presence('market:x'),
      () => client.presenceStats('market:x'), () => client.history('market:x', { limit: 1 })]) {
      await assert.rejects(ask(), (error) => (assert.equal(error.code, 108, String(ask)), true));
    }
    assert.equal(client.state, 'connected');
  });
});

describe('history, recovery and deltas', () => {
  const context = useHubs('memory');

  test('asked for all at once, from a position of nobody, leave the data as it went', async () => {
    const hub = await context.start({
      channel: {
        without_namespace: {
          history_size: 10, history_ttl: '60s', force_recovery: true, presence: true,
          join_leave: true, allowed_delta_types: ['fossil'],
        },
      },
    });
    const client = await context.connected(hub.wsUrl);
    const subscription = await subscribe(client, 'talk', {
      recoverable: true, positioned: true, joinLeave: true, delta: 'fossil',
      since: { offset: 3, epoch: 'abcd' },
    });
    await subscription.publish({ n: 1 });
    await waitFor('the publication', () => subscription.received.length === 1);
    assert.deepEqual(subscription.received[0].data, { n: 1 });
  });
});

describe('subscription tokens', () => {
  const context = useHubs('memory');
  const tokenFor = (channel, claims = {}) =>
    makeToken({ sub: 'ann', channel, exp: inSeconds(60), ...claims });
  const start = async () => {
    const hub = await context.start();
    return context.connected(hub.wsUrl, { token: makeToken({ sub: 'ann' }) });
  };

  test('a token opens its private channel', async () => {
    const client = await start();
    const subscription = await subscribe(client, '$room', { token: tokenFor('$room') });
    await subscription.publish('secret');
    await waitFor('the publication', () => subscription.received.length === 1);
  });

  test('a token that does not verify is a refusal (103)', async () => {
    const client = await start();
    const token = makeToken({ sub: 'ann', channel: '$room' }, 'not the secret');
    assert.equal(await refusal(client, '$room', { token }), 103);
    assert.equal(client.state, 'connected');
  });

  test('an expired token makes the client fetch another one (109)', async () => {
    const client = await start();
    const asked = [];
    await subscribe(client, '$room', {
      token: tokenFor('$room', { exp: inSeconds(-5) }),
      getToken: async ({ channel }) => {
        asked.push(channel);
        return tokenFor(channel);
      },
    });
    assert.deepEqual(asked, ['$room']);
  });

  test('the client refreshes one that expires; who does not is unsubscribed (2501)', async () => {
    const hub = await context.start({ client: { expired_sub_close_delay: '1s' } });
    let calls = 0;
    const client = await context.connected(hub.wsUrl, { token: makeToken({ sub: 'ann' }) });
    const subscription = await subscribe(client, '$room', {
      token: tokenFor('$room', { exp: inSeconds(2) }),
      getToken: async ({ channel }) => {
        calls += 1;
        return tokenFor(channel);
      },
    });
    let interruptions = 0;
    subscription.on('subscribing', () => { interruptions += 1; });
    const raw = await rawSocket(hub.wsUrl);
    const token = tokenFor('$room', { sub: '', exp: inSeconds(2) });
    raw.send('{"id":1,"connect":{}}');
    raw.send(JSON.stringify({ id: 2, subscribe: { channel: '$room', token } }));
    await waitFor('the unsubscribe push', () => raw.frames.join('').includes('"unsubscribe":'),
      { timeout: 8000 });
    assert.match(raw.frames.join(''), /"expires":true,"ttl":[12]/);
    assert.match(raw.frames.at(-1), /"code":2501,"reason":"subscription expired"/);
    raw.terminate();
    assert.equal(calls, 1);
    await subscription.publish('still here');
    assert.equal(interruptions, 0);
  });

  test('a token of another channel or user ends the connection for good (3500)', async () => {
    for (const token of [tokenFor('$other'), tokenFor('$room', { sub: 'bob' })]) {
      const client = await start();
      const disconnected = once(client, 'disconnected');
      client.newSubscription('$room', { token }).subscribe();
      assert.equal((await disconnected).code, 3500);
    }
  });
});
