// The texts of web-demo/snippets.js: about what happened, whole, and good for who reads them.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { describe, test } from 'node:test';

import { ROOT } from '../support/harness.mjs';
import { snippets, titleOf } from '../../web-demo/snippets.js';

const PLACE = {
  http: 'http://127.0.0.1:8000', ws: 'ws://127.0.0.1:8000/connection/websocket', redisPort: 6390,
  email: 'ann@example.com', password: 'demo password',
};
const QUOTES = 'Ann\'s "best" \\ beans\n$HOME `id`';
const KEY = '01a2153e-a143-7568-a4f3-35df95a44232';
const ACTIONS = {
  subscribe: { kind: 'subscribe', channel: 'orders:live#42' },
  publish: { kind: 'publish', channel: 'market:ticker', data: { name: QUOTES } },
  call: { kind: 'rpc', method: 'products.v1.list', params: { limit: 100 } },
  order: {
    kind: 'rpc', method: 'orders.v1.create', needsUser: true,
    params: { card: '4242424242424242', note: QUOTES, idempotency_key: KEY },
  },
};
const NAMES = {
  subscribe: 'orders:live#42', publish: 'market:ticker', call: 'products.v1.list', order: 'orders.v1.create',
};
const textsOf = (action, place = PLACE) =>
  Object.values(snippets(action, place)).map(({ text }) => text).filter((text) => text !== undefined);
const run = (program, options, input) =>
  execFileSync(program, options, { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] });
// What a shell makes of the words of a command, one in each line.
const words = (command) => run('sh', ['-c', command.replace('redis-cli', "printf '%s\\n'")]);

describe('snippets', () => {
  for (const [what, action] of Object.entries(ACTIONS)) {
    test(`say what happened and nothing that is not there: ${what}`, () => {
      for (const place of [PLACE, { ...PLACE, email: undefined, password: undefined, redisPort: undefined }]) {
        for (const [language, { text, note }] of Object.entries(snippets(action, place))) {
          assert.equal(typeof (text ?? note), 'string', language);
          assert.doesNotMatch(text ?? note, /undefined|\[object|NaN|null\b(?! *[,)])/, language);
          // redis-cli speaks of the service of a method
          const name = language === 'redis' ? NAMES[what].split('.')[0] : NAMES[what];
          assert((text ?? note).includes(name), `${language}: ${text ?? note}`);
        }
      }
      assert(titleOf(action).endsWith(NAMES[what]));
    });
  }

  for (const [what, action] of Object.entries(ACTIONS).filter(([name]) => name !== 'publish')) {
    test(`in C compile without a warning: ${what}`, () => {
      const { c: { text } } = snippets(action, PLACE);
      run('gcc', ['-Wall', '-Wextra', '-Werror', '-fsyntax-only',
        '-I', path.join(ROOT, 'client-sdk/include'),
        '-I', path.join(ROOT, 'build/release/client-sdk/include'), '-x', 'c', '-'], text);
    });

    test(`in JavaScript are a module: ${what}`, () => {
      const source = JSON.stringify(snippets(action, PLACE).javascript.text);
      run('node', ['--experimental-vm-modules', '--no-warnings', '--eval',
        `new (require('node:vm').SourceTextModule)(${source})`]);
    });

    test(`for a shell have their quotes closed: ${what}`, () => {
      const { shell, redis } = snippets(action, PLACE);
      for (const { text } of [shell, redis]) run('sh', ['-n'], text);
    });
  }

  test('carry any payload to redis-cli as it is', () => {
    const [, , command, channel, ...payload] =
      words(snippets(ACTIONS.publish, PLACE).redis.text).trimEnd().split('\n');
    assert.deepEqual([command, channel], ['PUBLISH', 'wh:ch:market:ticker']);
    assert.deepEqual(JSON.parse(payload.join('\n')), ACTIONS.publish.data);
  });

  test('do not repeat the key of a call that was made', () => {
    for (const text of textsOf(ACTIONS.order)) assert(!text.includes(KEY), text);
  });

  test('say why there is nothing for redis-cli', () => {
    const without = { ...PLACE, redisPort: null };
    for (const action of Object.values(ACTIONS)) {
      assert.match(snippets(action, without).redis.note, /without Redis/);
    }
    const own = { kind: 'rpc', method: 'hub.v1.info', params: {} };
    assert.match(snippets(own, PLACE).redis.note, /by itself/);
  });
});
