// What a subscriber may have instead of every publication as it is: those whose tags pass a filter,
// or patches.  Publications come from the server API, for clients cannot set tags.

import { Centrifuge } from 'centrifuge';
import { Centrifuge as ProtobufCentrifuge } from 'centrifuge/build/protobuf';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import WebSocket from 'ws';

import { once, waitFor } from '../support/harness.mjs';
import { onEachBroker, refusal, subscribe } from './support.mjs';

const KEY = 'the API key of the tests 52c8';
const config = {
  http_api: { key: KEY },
  channel: {
    without_namespace: {
      history_size: 100, history_ttl: '60s', force_recovery: true, allow_tags_filter: true,
      allowed_delta_types: ['fossil'],
    },
  },
};

async function publish(hub, channel, data, tags) {
  const response = await fetch(`${hub.url}/api/publish`, {
    method: 'POST',
    headers: { 'X-API-Key': KEY },
    body: JSON.stringify({ channel, data, tags }),
  });
  const reply = await response.json();
  assert.ok(reply.result, JSON.stringify(reply));
}

// Away while `work` is done; resolves to the context with which the subscription is back.
async function away(client, subscription, work) {
  client.disconnect();
  await work();
  const subscribed = once(subscription, 'subscribed');
  client.connect();
  return subscribed;
}

onEachBroker('views', (context) => {
  test('a tags filter lets through what passes, live and recovered', async () => {
    const hub = await context.start(config);
    const client = await context.connected(hub.wsUrl);
    const tagsFilter = {
      op: 'and',
      nodes: [
        { key: 'lang', cmp: 'in', vals: ['en', 'fr'] },
        { key: 'prio', cmp: 'gte', val: '3' },
      ],
    };
    const subscription = await subscribe(client, 'news', { tagsFilter });
    const say = (n, lang, prio) => publish(hub, 'news', { n }, { lang, prio });
    const seen = () => subscription.received.map((event) => event.data.n);
    await say(1, 'en', '10');
    await say(2, 'en', '2');
    await say(3, 'de', '10');
    await publish(hub, 'news', { n: 4 });
    await say(5, 'fr', '3');
    await waitFor('two of five', () => subscription.received.length === 2);
    assert.deepEqual(subscription.received[0].tags, { lang: 'en', prio: '10' });
    let back = await away(client, subscription, async () => {
      await say(6, 'de', '3');
      await say(7, 'en', '3');
      await say(8, 'de', '3');
    });
    assert.ok(back.recovered);
    await say(9, 'en', '4');
    await waitFor('the ninth', () => seen().includes(9));
    back = await away(client, subscription, () => say(10, 'de', '3'));
    assert.ok(back.recovered);
    await say(11, 'en', '4');
    await waitFor('the eleventh', () => seen().includes(11));
    assert.deepEqual(seen(), [1, 5, 7, 9, 11]);
  });

  test('a filter is refused where it is malformed or not allowed (107)', async () => {
    const hub = await context.start(config);
    const client = await context.connected(hub.wsUrl);
    const tagsFilter = { key: 'lang', cmp: 'eq', val: 'en' };
    assert.equal(await refusal(client, 'news', { tagsFilter: { key: 'lang', cmp: 'is' } }), 107);
    assert.equal(await refusal(client, 'market:x', { tagsFilter }), 107);
    await subscribe(client, 'news', { tagsFilter });
  });

  for (const [encoding, Class] of [['JSON', Centrifuge], ['Protobuf', ProtobufCentrifuge]]) {
    test(`deltas are the same data in fewer bytes, live and recovered (${encoding})`, async () => {
      const hub = await context.start(config);
      const bytes = { plain: 0, delta: 0 };
      const counting = (name) => class extends WebSocket {
        constructor(...parameters) {
          super(...parameters);
          this.on('message', (message) => { bytes[name] += message.byteLength; });
        }
      };
      const open = async (name, options) => {
        const client = await context.connected(hub.wsUrl, { websocket: counting(name) }, Class);
        return [client, await subscribe(client, 'ticker', options)];
      };
      const [, plain] = await open('plain', {});
      const [client, patched] = await open('delta', { delta: 'fossil' });
      const text = 'A long text with ümläuts, "quotes" and 🙂, of which little changes. '.repeat(8);
      const sent = [];
      const say = async () => {
        sent.push({ text, n: sent.length });
        await publish(hub, 'ticker', sent.at(-1));
      };
      const decode = (event) =>
        (encoding === 'JSON' ? event.data : JSON.parse(new TextDecoder().decode(event.data)));
      for (let i = 0; i < 10; i += 1) await say();
      await waitFor('the live ones', () => patched.received.length === 10);
      const back = await away(client, patched, async () => {
        for (let i = 0; i < 5; i += 1) await say();
      });
      assert.ok(back.recovered);
      for (let i = 0; i < 5; i += 1) await say();
      await waitFor('all', () => patched.received.length === 20 && plain.received.length === 20);
      assert.deepEqual(patched.received.map(decode), sent);
      assert.deepEqual(plain.received.map(decode), sent);
      assert.ok(bytes.delta * 3 < bytes.plain, JSON.stringify(bytes));
    });
  }
});
