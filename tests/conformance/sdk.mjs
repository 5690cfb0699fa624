// Official clients in other languages: a program for each goes through the same steps, and each
// step is a test.
//
// With WH_RPC in the environment it goes through the steps of rpc.test.mjs instead.
//
// The program finds what it needs in WH_FRONT (the hub, behind a balancer that the test can cut),
// WH_BACK (a hub beside it), WH_ENCODING, WH_CHANNEL, WH_SERVER_CHANNEL, and the tokens
// WH_SHORT_TOKEN, WH_TOKEN (both of ann, with a server-side subscription to the second channel) and
// WH_OTHER_TOKEN (of bob).  It prints "ok STEP" for each, "fail STEP: why" for the last one, and "ask WHAT"
// when it wants something done; it goes on when it reads a line.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import readline from 'node:readline';
import { before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { inSeconds, makeToken } from '../support/harness.mjs';
import { onEachCluster } from './support.mjs';

const STEPS = ['connect', 'subscribe', 'server-side subscription', 'join', 'publish', 'presence',
  'presence stats', 'history', 'leave', 'refresh', 'recover', 'server-side recover'];
const TIMEOUT_MS = 40000;
const SHORT_SECONDS = 4; // enough for a Java machine to start and connect

const CONFIG = {
  client: { expired_close_delay: '2s' },
  channel: {
    namespaces: [{
      name: 'sdk', history_size: 100, history_ttl: '300s', force_recovery: true, presence: true,
      join_leave: true, force_push_join_leave: true, allow_subscribe_for_client: true,
      allow_publish_for_client: true, allow_history_for_client: true,
      allow_presence_for_client: true,
    }],
  },
};

export async function run([command, ...parameters], environment, balancer, endOfToken) {
  const done = new Set();
  const failures = [];
  const child = spawn(command, parameters, {
    env: { ...process.env, ...environment }, stdio: ['pipe', 'pipe', 'pipe'], timeout: TIMEOUT_MS,
  });
  child.stderr.on('data', (data) => failures.push(String(data)));
  for await (const line of readline.createInterface({ input: child.stdout })) {
    if (line.startsWith('ok ')) done.add(line.slice(3));
    else if (!line.startsWith('ask ')) failures.push(line);
    if (line === 'ask cut') balancer.cut();
    if (line === 'ask mend') balancer.mend();
    if (line.startsWith('ask wait')) await sleep(Math.max(0, endOfToken - Date.now()));
    if (line.startsWith('ask ')) child.stdin.write('done\n');
  }
  return { done, why: failures.join('\n') };
}

// `start(encoding)` is the command of the program; `problem` is why it cannot run, or null;
// `handshake` is what its upgrade must look like in each encoding.
export function scenario(title, { encodings, start, problem, handshake }) {
  for (const encoding of encodings) {
    const options = { only: ['memory', 'redis, two workers', 'redis, two hubs'], isIdle: problem };
    onEachCluster(`${title} in ${encoding}`, CONFIG, (context) => {
      let outcome = { done: new Set(), why: 'it did not run' };
      let head = '';
      before(async () => {
        if (problem) return;
        const [channel, serverChannel] = [context.channel('sdk'), context.channel('sdk')];
        const balancer = await context.balancer();
        const exp = inSeconds(SHORT_SECONDS);
        const subs = { [serverChannel]: {} };
        const graceMs = 3000; // then the hub would have closed it
        outcome = await run(start(encoding), {
          WH_FRONT: balancer.wsUrl,
          WH_BACK: context.hubs.at(-1).wsUrl,
          WH_ENCODING: encoding,
          WH_CHANNEL: channel,
          WH_SERVER_CHANNEL: serverChannel,
          WH_SHORT_TOKEN: makeToken({ sub: 'ann', subs, exp }),
          WH_TOKEN: makeToken({ sub: 'ann', subs, exp: inSeconds(600) }),
          WH_OTHER_TOKEN: makeToken({ sub: 'bob' }),
        }, balancer, exp * 1000 + graceMs);
        [head] = balancer.heads;
      });
      for (const step of STEPS) {
        test(step, { skip: problem ?? false }, () => {
          assert(outcome.done.has(step), outcome.why);
        });
      }
      if (handshake) {
        test('the upgrade is the one of this client', { skip: problem ?? false }, () => {
          assert.match(head, handshake[encoding]);
        });
      }
    }, options);
  }
}
