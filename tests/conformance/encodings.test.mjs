// Clients of three encodings in one channel.

import { Centrifuge as ProtobufCentrifuge } from 'centrifuge/build/protobuf';
import { decode, encode, ExtData } from '@msgpack/msgpack';
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { makeToken, once, waitFor } from '../support/harness.mjs';
import { MsgpackClient } from './msgpack_client.mjs';
import { onEachBroker, refusal, subscribe } from './support.mjs';

const bytes = (value) => new TextEncoder().encode(JSON.stringify(value));
const fromBytes = (data) => JSON.parse(new TextDecoder().decode(data));

onEachBroker('encodings', (context) => {
  const startMsgpack = async (hub, request) => {
    const client = await MsgpackClient.connect(hub.wsUrl, request);
    context.atEnd(() => client.close());
    return client;
  };
  const payloads = (client) => client.pushes.map((push) => push.pub.data);

  test('a JSON and a MessagePack client exchange payloads in one channel', async () => {
    const hub = await context.start();
    const json = await context.connected(hub.wsUrl);
    const fromJson = await subscribe(json, 'talk');
    const msgpack = await startMsgpack(hub, { name: 'test' });
    await msgpack.subscribe('talk');
    const values = [{ text: 'ü🙂', list: [1, -2, 2.5, null, true] }, 'text', 7, [], {}];
    for (const value of values) await fromJson.publish(value);
    await waitFor('all in MessagePack', () => msgpack.pushes.length === values.length);
    assert.deepEqual(payloads(msgpack), values);
    for (const value of values) await msgpack.publish('talk', value);
    await waitFor('all in JSON', () => fromJson.received.length === 2 * values.length);
    assert.deepEqual(fromJson.received.map((event) => event.data), [...values, ...values]);
    assert.deepEqual(payloads(msgpack), [...values, ...values]);
  });

  test('MessagePack values that JSON has not arrive as what comes closest', async () => {
    const hub = await context.start();
    const json = await context.connected(hub.wsUrl);
    const heard = await subscribe(json, 'talk');
    const msgpack = await startMsgpack(hub);
    await msgpack.subscribe('talk');
    await msgpack.publish('talk', { nan: NaN, inner: new Uint8Array([1, 2, 255]) });
    await waitFor('the publication', () => heard.received.length === 1);
    assert.deepEqual(heard.received[0].data, { nan: null, inner: 'AQL/' });
    const [own] = payloads(msgpack);
    assert.deepEqual([own.nan, [...own.inner]], [NaN, [1, 2, 255]]);
    await assert.rejects(msgpack.publish('talk', new ExtData(5, new Uint8Array([1]))),
      { code: 107 });
  });

  test('bytes pass between MessagePack and Protobuf clients unchanged', async () => {
    const hub = await context.start();
    const msgpack = [await startMsgpack(hub), await startMsgpack(hub)];
    for (const client of msgpack) await client.subscribe('bytes');
    const protobuf = await context.connected(hub.wsUrl, {}, ProtobufCentrifuge);
    const heard = await subscribe(protobuf, 'bytes');
    const binary = Uint8Array.from({ length: 256 }, (_, index) => index);
    await msgpack[0].publish('bytes', binary);
    await heard.publish(binary);
    for (const client of msgpack) {
      await waitFor('both', () => client.pushes.length === 2);
      for (const data of payloads(client)) assert.deepEqual([...data], [...binary]);
    }
    await waitFor('both in Protobuf', () => heard.received.length === 2);
    for (const event of heard.received) assert.deepEqual([...event.data], [...binary]);
  });

  test('bytes that no JSON client can read end its connection for good (3506)', async () => {
    const hub = await context.start();
    const json = await context.connected(hub.wsUrl);
    await subscribe(json, 'bytes');
    const msgpack = await startMsgpack(hub);
    await msgpack.subscribe('bytes');
    const disconnected = once(json, 'disconnected');
    await msgpack.publish('bytes', new Uint8Array([0xff, 0x00]));
    assert.equal((await disconnected).code, 3506);
  });

  test('the official client in Protobuf connects, subscribes, publishes, receives', async () => {
    const hub = await context.start();
    const token = makeToken({ sub: 'ann', info: { name: 'Ann' } });
    const protobuf = await context.connected(hub.wsUrl, { token }, ProtobufCentrifuge);
    const heard = await subscribe(protobuf, 'talk');
    const json = await context.connected(hub.wsUrl);
    const heardInJson = await subscribe(json, 'talk');
    await heard.publish(bytes({ from: 'protobuf' }));
    await heardInJson.publish({ from: 'json' });
    await waitFor('both', () => heard.received.length === 2 && heardInJson.received.length === 2);
    assert.deepEqual(heardInJson.received.map((event) => event.data.from), ['protobuf', 'json']);
    assert.deepEqual(heard.received.map((event) => fromBytes(event.data).from),
      ['protobuf', 'json']);
    assert.equal(heardInJson.received[0].info.user, 'ann');
    assert.deepEqual(fromBytes(heard.received[0].info.connInfo), { name: 'Ann' });
    assert.equal(await refusal(protobuf, 'closed:x'), 103);
  });

  if (context.broker === 'redis') {
    test('a plain PUBLISH reaches each encoding, or is skipped and the client stays', async () => {
      const hub = await context.start();
      const json = await context.connected(hub.wsUrl);
      const inJson = await subscribe(json, 'market:ticker');
      const protobuf = await context.connected(hub.wsUrl, {}, ProtobufCentrifuge);
      const inProtobuf = await subscribe(protobuf, 'market:ticker');
      const msgpack = await startMsgpack(hub);
      await msgpack.subscribe('market:ticker');
      const packed = encode({ a: 1 });
      for (const payload of ['{"n":\n1}', 'no json', Buffer.from(packed), '{"n":2}']) {
        assert.equal(await context.redis.publish('market:ticker', payload), 1);
      }
      await waitFor('all four', () => msgpack.pushes.length === 4);
      const [first, text, inner, last] = payloads(msgpack);
      assert.deepEqual([first, last], [{ n: 1 }, { n: 2 }]);
      assert.equal(Buffer.from(text).toString(), 'no json');
      assert.deepEqual(decode(inner), { a: 1 });
      await waitFor('all four in Protobuf', () => inProtobuf.received.length === 4);
      await waitFor('the two that are JSON', () => inJson.received.length === 2);
      assert.deepEqual(inJson.received.map((event) => event.data), [{ n: 1 }, { n: 2 }]);
      assert.equal(json.state, 'connected');
    });
  }
});
