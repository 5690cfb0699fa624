// Calls from clients in many languages to services in many languages: those of services/examples,
// through a hub.

import { Centrifuge as ProtobufCentrifuge } from 'centrifuge/build/protobuf';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';

import { ROOT, makeToken, waitFor } from '../support/harness.mjs';
import { buildGo, goProgram } from './go_program.mjs';
import { MsgpackClient } from './msgpack_client.mjs';
import { installPython, pythonProgram } from './python_program.mjs';
import { run } from './sdk.mjs';
import { useHubs } from './support.mjs';

const EXAMPLES = path.join(ROOT, 'services/examples');
const SERVICES = {
  python: ['/usr/bin/python3', '-B', path.join(EXAMPLES, 'echo.py')],
  node: ['node', path.join(EXAMPLES, 'echo.mjs')],
};
const IN_C = path.join(ROOT, 'build/debug/bin/test_service');
const OTHERS = [
  { title: 'centrifuge-go', problem: await buildGo(), command: [goProgram] },
  { title: 'centrifuge-python', problem: await installPython(), command: pythonProgram },
];
const STEPS = ['connect', 'rpc', 'calls at once', 'errors'];

const toBytes = (value) => new TextEncoder().encode(JSON.stringify(value));
const fromBytes = (data) => JSON.parse(new TextDecoder().decode(data));
const rejects = (promise, code, temporary) => assert.rejects(promise, (error) => {
  assert.equal(error.code, code, error.message);
  assert.equal(error.temporary ?? false, temporary);
  return true;
});

// Until it is alive in the eyes of hubs.  stop() lets it drain; its exit status.
async function startService(context, language) {
  return startProcess(context, 'echo', SERVICES[language],
    { REDIS_URL: `redis://127.0.0.1:${context.redis.port}` });
}

async function startProcess(context, service, [command, ...parameters], environment = {}) {
  const alive = async () => {
    const out = await context.redis.cli('PUBSUB', 'NUMSUB', `wh:rpc:alive:${service}`);
    return Number(String(out).split('\n')[1]);
  };
  const child = spawn(command, parameters, {
    env: { ...process.env, ...environment }, stdio: 'ignore',
  });
  // Counted here: Redis may still believe in one that has ended.
  const running = (context.running ??= {});
  running[service] = (running[service] ?? 0) + 1;
  const ended = new Promise((resolve) => {
    child.once('exit', (status) => {
      running[service] -= 1;
      resolve(status);
    });
  });
  const stop = () => {
    child.kill('SIGTERM');
    return ended;
  };
  context.atEnd(stop);
  await waitFor(`${command} serves`, async () => await alive() === running[service],
    { timeout: 30000 });
  return { stop };
}

describe('the examples are where ./dev test put their packages', () => {
  test('npm ci', () => assert(fs.existsSync(path.join(EXAMPLES, 'node_modules'))));
});

for (const language of Object.keys(SERVICES)) {
  describe(`calls to a service in ${language}`, () => {
    const context = useHubs('redis');
    const start = async () => {
      const hub = await context.start();
      return { hub, service: await startService(context, language) };
    };
    const ann = () => ({ token: makeToken({ sub: 'ann' }) });

    test('from the official client in JSON', async () => {
      const { hub } = await start();
      const client = await context.connected(hub.wsUrl, ann());
      const text = { nested: ['ü🙂', 1.5, null, true] };
      assert.deepEqual((await client.rpc('echo.v1.say', { text })).data, { text, by: language });
      assert.equal((await client.rpc('echo.v1.whoami', null)).data.user, 'ann');
    });

    test('from the official client in Protobuf', async () => {
      const { hub } = await start();
      const client = await context.connected(hub.wsUrl, ann(), ProtobufCentrifuge);
      const { data } = await client.rpc('echo.v1.say', toBytes({ text: 'ü🙂' }));
      assert.deepEqual(fromBytes(data), { text: 'ü🙂', by: language });
      await rejects(client.rpc('echo.v1.say', toBytes({})), 400, false);
    });

    test('from a client in MessagePack', async () => {
      const { hub } = await start();
      const client = await MsgpackClient.connect(hub.wsUrl, ann());
      context.atEnd(() => client.close());
      const call = (method, data) => client.command({ rpc: { method, data } });
      const reply = await call('echo.v1.say', { text: ['ü🙂', -1, 2.5] });
      assert.deepEqual(reply.rpc.data, { text: ['ü🙂', -1, 2.5], by: language });
      await rejects(call('echo.v1.wait', { ms: 600 }), 1504, true);
    });

    test('errors come with the codes of the contract', async () => {
      const { hub } = await start();
      const nobody = await context.connected(hub.wsUrl);
      await rejects(nobody.rpc('echo.v1.whoami', {}), 101, false);
      await rejects(nobody.rpc('echo.v1.nothing', {}), 104, false);
      await rejects(nobody.rpc('nobody.v1.say', {}), 104, false);
      await rejects(nobody.rpc('no method', {}), 104, false);
      await assert.rejects(nobody.rpc('echo.v1.say', {}),
        { code: 400, message: 'text is missing' });
      await rejects(nobody.rpc('echo.v1.wait', { ms: 'long' }), 100, true);
      await rejects(nobody.rpc('echo.v1.wait', { ms: 600 }), 1504, true);
      const { data } = await nobody.rpc('echo.v1.say', { text: 'still here' });
      assert.equal(data.text, 'still here');
    });

    test('a hundred calls of a client are under way at once, each gets its own answer', async () => {
      const { hub } = await start();
      const client = await context.connected(hub.wsUrl);
      const numbers = Array.from({ length: 100 }, (_, index) => index);
      const replies = await Promise.all(numbers.map((text) => client.rpc('echo.v1.say', { text })));
      assert.deepEqual(replies.map(({ data }) => data.text), numbers);
    });

    test('when it was told to stop, what it has is answered and new calls hear 1503', async () => {
      const { hub, service } = await start();
      const client = await context.connected(hub.wsUrl);
      const under = client.rpc('echo.v1.wait', { ms: 200 });
      await context.redis.cli('PING'); // behind the call on its way
      const ended = service.stop();
      assert.equal((await under).data, null);
      assert.equal(await ended, 0);
      await waitFor('the hub noticed', () => client.rpc('echo.v1.say', { text: 1 })
        .then(() => false, (error) => error.code === 1503));
    });

    for (const { title, problem, command } of OTHERS) {
      for (const encoding of ['JSON', 'Protobuf']) {
        describe(`${title} in ${encoding}`, () => {
          let outcome = { done: new Set(), why: 'it did not run' };
          before(async () => {
            if (problem) return;
            const { hub, service } = await start();
            outcome = await run(command, {
              WH_RPC: '1', WH_FRONT: hub.wsUrl, WH_ENCODING: encoding,
              WH_TOKEN: makeToken({ sub: 'ann' }),
            });
            await service.stop();
          });
          for (const step of STEPS) {
            test(step, { skip: problem ?? false }, () => {
              assert(outcome.done.has(step), outcome.why);
            });
          }
        });
      }
    }
  });
}

describe('calls to a service in C', () => {
  const context = useHubs('redis');
  const start = async () => {
    const hub = await context.start();
    await startProcess(context, 'testing', [IN_C, 'serve', '--redis.address',
      `127.0.0.1:${context.redis.port}`, '--http.port', '0']);
    return hub;
  };
  const sent = { text: 'ü🙂', number: -7 };

  test('each encoding gets what it sent', async () => {
    const hub = await start();
    const json = await context.connected(hub.wsUrl);
    assert.deepEqual((await json.rpc('testing.v1.echo', sent)).data, sent);
    const protobuf = await context.connected(hub.wsUrl, {}, ProtobufCentrifuge);
    const { data } = await protobuf.rpc('testing.v1.echo', toBytes(sent));
    assert.deepEqual(fromBytes(data), sent);
    const msgpack = await MsgpackClient.connect(hub.wsUrl);
    context.atEnd(() => msgpack.close());
    const reply = await msgpack.command({ rpc: { method: 'testing.v1.echo', data: sent } });
    assert.deepEqual(reply.rpc.data, sent);
  });

  test('errors come with the codes of the contract', async () => {
    const hub = await start();
    const nobody = await context.connected(hub.wsUrl);
    const ann = await context.connected(hub.wsUrl, { token: makeToken({ sub: 'ann' }) });
    await rejects(nobody.rpc('testing.v1.echo', []), 107, false);
    await rejects(nobody.rpc('testing.v1.fail', { code: 404 }), 101, false);
    await rejects(ann.rpc('things.v1.whoami', {}), 103, false);
    await assert.rejects(ann.rpc('testing.v1.fail', { code: 409, text: 'used before' }),
      { code: 409, message: 'used before' });
    await rejects(ann.rpc('testing.v1.fail', { code: 100, text: 'of the database' }), 100, true);
  });
});

describe('two services of one name', () => {
  const context = useHubs('redis');

  test('share the calls, whatever they are written in', async () => {
    const hub = await context.start();
    await startService(context, 'python');
    const node = await startService(context, 'node');
    const client = await context.connected(hub.wsUrl);
    const seen = new Set();
    const say = async () => { seen.add((await client.rpc('echo.v1.say', { text: 1 })).data.by); };
    await waitFor('both answered', async () => {
      await Promise.all(Array.from({ length: 20 }, say));
      return seen.size === 2;
    });
    await node.stop();
    seen.clear();
    await say();
    assert.deepEqual([...seen], ['python']);
  });
});
