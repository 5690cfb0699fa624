// Connecting with the official client: identity, tokens, expiry, pings.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import WebSocket from 'ws';

import { inSeconds, makeToken, once, waitFor } from '../support/harness.mjs';
import { onEachBroker, rawSocket, subscribe, useHubs } from './support.mjs';

onEachBroker('identity', (context) => {
  test('a client without a token connects as anonymous and gets an id', async () => {
    const hub = await context.start();
    const client = context.client(hub.wsUrl);
    const connected = once(client, 'connected');
    client.connect();
    const { client: id, transport } = await connected;
    assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.equal(transport, 'websocket');
  });

  test('the user and the info of the token show in publications', async () => {
    const hub = await context.start();
    const token = makeToken({ sub: 'ann', exp: inSeconds(60), info: { name: 'Ann' } });
    const ann = await context.connected(hub.wsUrl, { token });
    const anonymous = await context.connected(hub.wsUrl);
    const heard = await subscribe(anonymous, 'talk');
    const spoken = await subscribe(ann, 'talk');
    await spoken.publish({ hello: 'world' });
    const [event] = await waitFor('the publication', () => heard.received.length && heard.received);
    assert.deepEqual(event.data, { hello: 'world' });
    assert.equal(event.info.user, 'ann');
    assert.deepEqual(event.info.connInfo, { name: 'Ann' });
  });
});

describe('tokens', () => {
  const context = useHubs('memory');

  const disconnection = async (url, options) => {
    const client = context.client(url, options);
    const disconnected = once(client, 'disconnected');
    client.connect();
    const { code } = await disconnected;
    return code;
  };

  test('a token that does not verify ends the connection for good (3500)', async () => {
    const hub = await context.start();
    const good = makeToken({ sub: 'ann' });
    const [head, body] = good.split('.');
    const cases = {
      'another secret': makeToken({ sub: 'ann' }, 'not the secret'),
      'no signature': `${head}.${body}.`,
      'alg none': `${Buffer.from('{"alg":"none"}').toString('base64url')}.${body}.`,
      'not a token': 'rubbish',
      'a subscription token': makeToken({ sub: 'ann', channel: 'talk' }),
    };
    for (const [name, token] of Object.entries(cases)) {
      assert.equal(await disconnection(hub.wsUrl, { token }), 3500, name);
    }
  });

  test('no token where one is needed ends the connection for good (3501)', async () => {
    const hub = await context.start({ client: { allow_anonymous_connect_without_token: false } });
    assert.equal(await disconnection(hub.wsUrl), 3501);
  });

  test('an expired token makes the client fetch another one (109)', async () => {
    const hub = await context.start();
    let calls = 0;
    const errors = [];
    const client = context.client(hub.wsUrl, {
      token: makeToken({ sub: 'ann', exp: inSeconds(-5) }),
      getToken: async () => {
        calls += 1;
        return makeToken({ sub: 'ann', exp: inSeconds(60) });
      },
    });
    client.on('error', ({ error }) => errors.push(error.code));
    const connected = once(client, 'connected');
    client.connect();
    await connected;
    assert.equal(calls, 1);
    assert.deepEqual(errors, [109]);
  });

  test('the client refreshes a token that expires, and the connection stays', async () => {
    const hub = await context.start({ client: { expired_close_delay: '1s' } });
    let calls = 0;
    const client = await context.connected(hub.wsUrl, {
      token: makeToken({ sub: 'ann', exp: inSeconds(2) }),
      getToken: async () => {
        calls += 1;
        return makeToken({ sub: 'ann', exp: inSeconds(60) });
      },
    });
    const subscription = await subscribe(client, 'talk');
    let interruptions = 0;
    client.on('connecting', () => { interruptions += 1; });
    // Without a refresh rawSocket below is closed then; the client must outlive that.
    const raw = await rawSocket(hub.wsUrl);
    raw.send(JSON.stringify({ id: 1, connect: { token: makeToken({ exp: inSeconds(2) }) } }));
    const { code } = await raw.closed();
    assert.equal(code, 3005);
    assert.match(raw.frames[0], /"expires":true/);
    assert.equal(calls, 1);
    await subscription.publish('still here');
    assert.equal(interruptions, 0);
  });

  test('a refresh with a bad token ends the connection for good (3500)', async () => {
    const hub = await context.start();
    const client = await context.connected(hub.wsUrl, {
      token: makeToken({ sub: 'ann', exp: inSeconds(2) }),
      getToken: async () => makeToken({ sub: 'bob', exp: inSeconds(60) }),
    });
    assert.equal((await once(client, 'disconnected')).code, 3500);
  });
});

describe('pings', () => {
  const context = useHubs('memory');
  const config = { client: { ping_interval: '2s', pong_timeout: '1s' } };

  test('the client answers them and stays; who does not is closed (3012)', async () => {
    const hub = await context.start(config);
    let pings = 0;
    class CountingSocket extends WebSocket {
      constructor(...parameters) {
        super(...parameters);
        this.on('message', (data) => { pings += String(data).trim() === '{}'; });
      }
    }
    const client = await context.connected(hub.wsUrl, { websocket: CountingSocket });
    let interruptions = 0;
    client.on('connecting', () => { interruptions += 1; });
    const silent = await rawSocket(hub.wsUrl);
    silent.send('{"id":1,"connect":{}}');
    assert.deepEqual(await silent.closed(), { code: 3012, reason: 'no pong' });
    await waitFor('two pings', () => pings >= 2);
    assert.equal(interruptions, 0);
  });
});
