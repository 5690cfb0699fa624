// History, presence, recovery, server-side subscriptions and tokens of subscriptions, with the
// official client in both of its encodings, on each broker and over several processes.

import { Centrifuge } from 'centrifuge';
import { Centrifuge as ProtobufCentrifuge } from 'centrifuge/build/protobuf';
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { inSeconds, makeToken, once, waitFor } from '../support/harness.mjs';
import { onEachCluster, subscribe } from './support.mjs';

const STREAM = {
  history_size: 100, history_ttl: '300s', force_recovery: true, allow_subscribe_for_client: true,
  allow_publish_for_client: true, allow_history_for_client: true,
};

const CONFIG = {
  client: { presence_update_interval: '2s' },
  channel: {
    namespaces: [
      { ...STREAM, name: 'feed' },
      { ...STREAM, name: 'short', history_size: 3 },
      { ...STREAM, name: 'cache', force_recovery_mode: 'cache' },
      { ...STREAM, name: 'latest', force_recovery_mode: 'cache', auto_cache_recover: true },
      {
        name: 'room', presence: true, join_leave: true, force_push_join_leave: true,
        allow_subscribe_for_client: true, allow_presence_for_client: true,
      },
    ],
  },
};

const ENCODINGS = [
  { name: 'JSON', Class: Centrifuge, pack: (value) => value, unpack: (data) => data },
  {
    name: 'Protobuf', Class: ProtobufCentrifuge,
    pack: (value) => new TextEncoder().encode(JSON.stringify(value)),
    unpack: (data) => JSON.parse(new TextDecoder().decode(data)),
  },
];

const token = (user, claims = {}) => ({ token: makeToken({ sub: user, ...claims }) });
const offsets = (publications) => publications.map((publication) => publication.offset);
const countTo = (last, first = 1) =>
  Array.from({ length: last - first + 1 }, (_, index) => first + index);

for (const { name, Class, pack, unpack } of ENCODINGS) {
  onEachCluster(`features in ${name}`, CONFIG, (context) => {
    const values = (publications) => publications.map((publication) => unpack(publication.data));
    const publish = async (client, channel, first, last) => {
      for (const value of countTo(last, first)) await client.publish(channel, pack(value));
    };
    // A subscriber behind a balancer and a publisher elsewhere.
    const apart = async (channel, options) => {
      const balancer = await context.balancer();
      const client = await balancer.connected(token('ann'), Class);
      const subscription = await subscribe(client, channel, options);
      return { balancer, client, subscription, other: await context.apart(client, token('bob'), Class) };
    };
    // Cut, do something meanwhile, and be subscribed again: the event that says how.
    const cutWhile = async (balancer, client, emitter, action) => {
      const connecting = once(client, 'connecting');
      balancer.cut();
      await connecting;
      await action();
      const subscribed = once(emitter, 'subscribed', { timeout: 10000 });
      balancer.mend();
      return subscribed;
    };

    test('history is read forwards, backwards, from a position, and by limit', async () => {
      const channel = context.channel('feed');
      const writer = await context.connected(token('ann'), Class);
      const reader = await context.apart(writer, token('bob'), Class);
      await publish(writer, channel, 1, 6);
      const position = await reader.history(channel);
      assert.deepEqual([position.publications, position.offset], [[], 6]);
      const { epoch } = position;
      assert.match(epoch, /^\S+$/);
      for (const [options, expected] of [
        [{ limit: 100 }, [1, 2, 3, 4, 5, 6]],
        [{ limit: -1 }, [1, 2, 3, 4, 5, 6]],
        [{ limit: 2 }, [1, 2]],
        [{ limit: 2, reverse: true }, [6, 5]],
        [{ limit: 3, since: { offset: 2, epoch } }, [3, 4, 5]],
        [{ limit: 100, since: { offset: 3, epoch }, reverse: true }, [2, 1]],
        [{ limit: 1, since: { offset: 6, epoch } }, []],
      ]) {
        const history = await reader.history(channel, options);
        assert.deepEqual(values(history.publications), expected, JSON.stringify(options));
        assert.deepEqual(offsets(history.publications), expected);
        assert.deepEqual([history.offset, history.epoch], [6, epoch]);
        for (const { info } of history.publications) assert.equal(info.user, 'ann');
      }
      await assert.rejects(reader.history(channel, { limit: 1, since: { offset: 1, epoch: 'x' } }),
        { code: 112 });
      await assert.rejects(reader.history(context.channel('room'), { limit: 1 }), { code: 108 });
    });

    test('presence lists and counts who is subscribed, whichever process they are on', async () => {
      const channel = context.channel('room');
      const ann = await context.connected(token('ann', { info: { name: 'Ann' } }), Class);
      const bob = await context.apart(ann, token('bob'), Class);
      const again = await context.apart(ann, token('bob'), Class);
      assert.deepEqual((await ann.presence(channel)).clients, {});
      await subscribe(ann, channel);
      const subscription = await subscribe(bob, channel);
      await subscribe(again, channel);
      const { clients } = await ann.presence(channel);
      assert.deepEqual(Object.fromEntries(
        Object.entries(clients).map(([id, info]) => [id, [info.client, info.user]])), {
        [ann.sessionId]: [ann.sessionId, 'ann'],
        [bob.sessionId]: [bob.sessionId, 'bob'],
        [again.sessionId]: [again.sessionId, 'bob'],
      });
      assert.deepEqual(unpack(clients[ann.sessionId].connInfo), { name: 'Ann' });
      assert.deepEqual(await ann.presenceStats(channel), { numClients: 3, numUsers: 2 });
      const unsubscribed = once(subscription, 'unsubscribed');
      subscription.unsubscribe();
      await unsubscribed;
      await waitFor('one less', async () => (await ann.presenceStats(channel)).numClients === 2);
      again.disconnect();
      await waitFor('bob gone', async () => (await ann.presenceStats(channel)).numUsers === 1);
      assert.deepEqual(Object.keys((await ann.presence(channel)).clients), [ann.sessionId]);
      await assert.rejects(ann.presence(context.channel('feed')), { code: 108 });
    });

    test('joins and leaves are pushed to the others', async () => {
      const channel = context.channel('room');
      const ann = await context.connected(token('ann'), Class);
      const events = [];
      const subscription = await subscribe(ann, channel);
      await waitFor('ann in presence', async () =>
        (await ann.presenceStats(channel)).numClients === 1);
      for (const kind of ['join', 'leave']) {
        subscription.on(kind, ({ info }) => {
          if (info.user !== 'ann') events.push([kind, info.user, info.client]);
        });
      }
      const bob = await context.apart(ann, token('bob'), Class);
      const theirs = await subscribe(bob, channel);
      await waitFor('the join', () => events.length === 1);
      theirs.unsubscribe();
      await waitFor('the leave', () => events.length === 2);
      theirs.subscribe();
      await waitFor('the second join', () => events.length === 3);
      bob.disconnect();
      await waitFor('the second leave', () => events.length === 4);
      assert.deepEqual(events, ['join', 'leave', 'join', 'leave']
        .map((kind) => [kind, 'bob', bob.sessionId]));
    });

    test('what was published during a cut is recovered, once and in order', async () => {
      const channel = context.channel('feed');
      const { balancer, client, subscription, other } = await apart(channel);
      await publish(other, channel, 1, 3);
      await waitFor('the first three', () => subscription.received.length === 3);
      const subscribed = await cutWhile(balancer, client, subscription,
        () => publish(other, channel, 4, 40));
      assert.deepEqual([subscribed.wasRecovering, subscribed.recovered], [true, true]);
      await publish(other, channel, 41, 43);
      await waitFor('the last', () => subscription.received.at(-1)?.offset === 43);
      assert.deepEqual(offsets(subscription.received), countTo(43));
      assert.deepEqual(values(subscription.received), countTo(43));
    });

    test('a cut in a stream of publications leaves neither hole nor double', async () => {
      const channel = context.channel('feed');
      const { balancer, client, subscription, other } = await apart(channel);
      const publishing = publish(other, channel, 1, 90);
      for (const seen of [10, 40]) {
        await waitFor(`${seen} publications`, () => subscription.received.length >= seen);
        const { recovered } = await cutWhile(balancer, client, subscription, async () => {});
        assert.equal(recovered, true);
      }
      await publishing;
      await waitFor('the last', () => subscription.received.at(-1)?.offset === 90);
      assert.deepEqual(values(subscription.received), countTo(90));
    });

    test('who missed more than the history keeps is told so, and goes on from now', async () => {
      const channel = context.channel('short');
      const { balancer, client, subscription, other } = await apart(channel);
      await publish(other, channel, 1, 1);
      await waitFor('the first', () => subscription.received.length === 1);
      const subscribed = await cutWhile(balancer, client, subscription,
        () => publish(other, channel, 2, 5));
      assert.deepEqual([subscribed.wasRecovering, subscribed.recovered], [true, false]);
      assert.equal(subscribed.streamPosition.offset, 5);
      await publish(other, channel, 6, 6);
      await waitFor('the next', () => subscription.received.length === 2);
      assert.deepEqual(offsets(subscription.received), [1, 6]);
    });

    test('a position of another epoch, or beyond the top, is not recovered', async () => {
      const channel = context.channel('feed');
      const client = await context.connected(token('ann'), Class);
      await publish(client, channel, 1, 3);
      const { epoch } = await client.history(channel);
      for (const [since, recovered, received] of [
        [{ offset: 3, epoch: 'other' }, false, []],
        [{ offset: 1, epoch: 'other' }, false, []],
        [{ offset: 4, epoch }, false, []],
        [{ offset: 3, epoch }, true, []],
        [{ offset: 1, epoch }, true, [2, 3]],
      ]) {
        const subscription = client.newSubscription(channel, { since });
        const seen = [];
        subscription.on('publication', (event) => seen.push(event));
        const subscribed = once(subscription, 'subscribed');
        subscription.subscribe();
        const event = await subscribed;
        assert.deepEqual([event.wasRecovering, event.recovered], [true, recovered],
          JSON.stringify(since));
        await waitFor('the missed', () => seen.length >= received.length);
        assert.deepEqual(values(seen), received);
        subscription.unsubscribe();
        client.removeSubscription(subscription);
      }
    });

    test('server-side subscriptions of the token are there, and recover after a cut', async () => {
      const [plain, rich] = [context.channel('feed'), context.channel('feed')];
      for (const [channel, claims] of [
        [plain, { channels: [plain] }],
        [rich, { subs: { [rich]: { data: { hello: 1 } } } }],
      ]) {
        const balancer = await context.balancer();
        const events = [];
        const received = [];
        const client = new Class(balancer.wsUrl, {
          websocket: (await import('ws')).default, minReconnectDelay: 20, maxReconnectDelay: 200,
          ...token('ann', claims),
        });
        context.atEnd(() => client.disconnect());
        client.on('subscribed', (event) => events.push(event));
        client.on('publication', (event) => received.push(event));
        const connected = once(client, 'connected');
        client.connect();
        client.sessionId = (await connected).client;
        await waitFor('the subscription', () => events.length === 1);
        assert.deepEqual([events[0].channel, events[0].recoverable], [channel, true]);
        if (channel === rich) assert.deepEqual(unpack(events[0].data), { hello: 1 });
        const other = await context.apart(client, token('bob'), Class);
        await publish(other, channel, 1, 2);
        await waitFor('the first two', () => received.length === 2);
        const again = await cutWhile(balancer, client, client,
          () => publish(other, channel, 3, 20));
        assert.deepEqual([again.channel, again.wasRecovering, again.recovered],
          [channel, true, true]);
        await publish(other, channel, 21, 21);
        await waitFor('the last', () => received.at(-1)?.offset === 21);
        assert.deepEqual(values(received), countTo(21));
        assert(received.every((event) => event.channel === channel));
      }
    });

    test('the token of a subscription is refreshed before it ends', async () => {
      const channel = context.channel('$feed');
      const client = await context.connected(token('ann'), Class);
      let tokens = 0;
      const subscription = await subscribe(client, channel, {
        getToken: async () => {
          tokens += 1;
          return makeToken({ sub: 'ann', channel, exp: inSeconds(2) });
        },
      });
      let interruptions = 0;
      subscription.on('subscribing', () => { interruptions += 1; });
      await waitFor('the refresh of a refreshed token', () => tokens === 3, { timeout: 10000 });
      await client.publish(channel, pack('still here'));
      await waitFor('the publication', () => subscription.received.length === 1);
      assert.equal(interruptions, 0);
    });

    test('in cache mode the newest publication is all that is recovered', async () => {
      const channel = context.channel('cache');
      const { balancer, client, subscription, other } = await apart(channel);
      await publish(other, channel, 1, 2);
      await waitFor('the first two', () => subscription.received.length === 2);
      let subscribed = await cutWhile(balancer, client, subscription,
        () => publish(other, channel, 3, 9));
      assert.deepEqual([subscribed.wasRecovering, subscribed.recovered], [true, true]);
      await waitFor('the newest', () => subscription.received.length === 3);
      subscribed = await cutWhile(balancer, client, subscription, async () => {});
      assert.equal(subscribed.recovered, true);
      await publish(other, channel, 10, 10);
      await waitFor('the next', () => subscription.received.length === 4);
      assert.deepEqual(values(subscription.received), [1, 2, 9, 10]);
    });

    test('where the cache is recovered of itself, newcomers get the newest at once', async () => {
      const channel = context.channel('latest');
      const writer = await context.connected(token('ann'), Class);
      await publish(writer, channel, 1, 4);
      const reader = await context.apart(writer, token('bob'), Class);
      const subscription = await subscribe(reader, channel);
      await waitFor('the newest', () => subscription.received.length === 1);
      await publish(writer, channel, 5, 5);
      await waitFor('the next', () => subscription.received.length === 2);
      assert.deepEqual(values(subscription.received), [4, 5]);
    });
  });
}
