// What the page says under "The same from your own code" is copied and run here, as it stands.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';

import { ROOT, waitFor } from '../support/harness.mjs';
import { snippets } from '../../web-demo/snippets.js';
import { startDemo } from './support.mjs';

const BINARIES = path.dirname(process.env.WIREHUB_BIN ?? path.join(ROOT, 'build/debug/bin/wirehub'));
const BUILD = path.dirname(BINARIES);
const TICKER = 'market:ticker';
const LANGUAGES = ['javascript', 'c', 'shell'];
const exec = promisify(execFile);

// One folder with all that a reader is told to have: npm packages, the library, wh in the path.
async function prepare(directory) {
  fs.symlinkSync(path.join(ROOT, 'tests/conformance/node_modules'), path.join(directory, 'node_modules'));
  // Node before 22: what the snippet's first line says.
  fs.writeFileSync(path.join(directory, 'socket.mjs'),
    "import WebSocket from 'ws';\nglobalThis.WebSocket ??= WebSocket;\n");
  const prefix = path.join(directory, 'usr');
  for (const component of ['libwirehub', 'libwirehub-dev', 'wh']) {
    await exec('cmake', ['--install', BUILD, '--prefix', prefix, '--component', component]);
  }
  const { stdout } = await exec('find', [prefix, '-name', 'wirehub.pc']);
  const pkgconfig = path.dirname(stdout.trim());
  return {
    ...process.env, NO_PROXY: '*', no_proxy: '*', LC_ALL: 'C.UTF-8',
    PATH: `${path.join(prefix, 'bin')}:${process.env.PATH}`,
    PKG_CONFIG_PATH: pkgconfig, LD_LIBRARY_PATH: path.dirname(pkgconfig),
  };
}

// A library with sanitizers wants programs with them.
function sanitizers() {
  const cache = fs.readFileSync(path.join(BUILD, 'CMakeCache.txt'), 'utf8');
  const [, list] = /^WH_SANITIZE:STRING=(.*)$/m.exec(cache) ?? [];
  return list ? ` -fsanitize=${list}` : '';
}

describe('a program copied from the page', () => {
  const context = {};
  let demo = null;
  let directory = '';
  let environment = {};
  let number = 0;

  const place = (person) => ({
    http: demo.url, ws: `${demo.url.replace('http', 'ws')}/connection/websocket`, redisPort: demo.redis_port,
    email: person && 'ann@example.com', password: person && 'demo password',
  });
  const shell = (command, extra = {}) =>
    exec('sh', ['-c', command], { cwd: directory, env: { ...environment, ...extra }, timeout: 60000 });
  const cli = async (...words) => (await exec('redis-cli', ['-p', String(demo.redis_port), ...words])).stdout;

  // The command that runs it, after what its first lines say.
  async function commandOf(language, text) {
    number += 1;
    if (language === 'javascript') {
      fs.writeFileSync(path.join(directory, `program${number}.mjs`), text);
      return `node --import ./socket.mjs program${number}.mjs`;
    }
    if (language === 'shell') return text;
    const [, file, rest] = /^\/\* cc (\S+) ([^;*]*)(?:; TOKEN as under Shell)? ?\*\//.exec(text);
    fs.writeFileSync(path.join(directory, file), text);
    await shell(`cc -Wall -Wextra -Werror${sanitizers()} -o program${number} ${file} ${rest}`);
    return `./program${number}`;
  }

  // Its first line of output that `wanted` is in; then it is ended, and all that it started.
  async function firstLine(command, wanted, meanwhile) {
    const child = spawn('sh', ['-c', command], { cwd: directory, env: environment, detached: true });
    let out = '';
    child.stdout.on('data', (data) => { out += data; });
    child.stderr.on('data', (data) => { out += data; });
    const exited = new Promise((resolve) => { child.once('exit', resolve); });
    try {
      await meanwhile();
      return await waitFor(`${wanted} of ${command}`, () => out.split('\n').find((line) => wanted.test(line)),
        { timeout: 15000 }).catch((error) => { throw new Error(`${error.message}\n${out}`); });
    } finally {
      if (child.exitCode === null) process.kill(-child.pid, 'SIGKILL');
      await exited;
    }
  }

  // Once somebody listens, a sale.
  async function sell(listeners = 1) {
    await waitFor('who listens', async () =>
      Number((await cli('PUBSUB', 'NUMSUB', `wh:ch:${TICKER}`)).split('\n')[1]) >= listeners, { timeout: 15000 });
    await cli('PUBLISH', `wh:ch:${TICKER}`, '{"name":"Tin"}');
  }

  before(async () => {
    demo = await startDemo();
    directory = fs.mkdtempSync(path.join(os.tmpdir(), 'wirehub-programs-'));
    environment = await prepare(directory);
    const { stdout } = await exec('curl', ['-sS', '--noproxy', '*', '-H', 'Content-Type: application/json', '-d',
      '{"limit":100}', `${demo.url}/rpc/products.v1.list`]);
    context.product = JSON.parse(stdout).products[0].product;
  });
  after(async () => {
    await demo?.close();
    if (directory) fs.rmSync(directory, { recursive: true });
  });

  for (const language of LANGUAGES) {
    test(`hears what is published: ${language}`, async () => {
      const { text } = snippets({ kind: 'subscribe', channel: TICKER }, place())[language];
      const command = await commandOf(language, text);
      assert.match(await firstLine(command, /Tin/, () => sell()), /name"?: ?["']Tin["']/);
      // The hub is to notice that nobody listens before the next one comes.
      await waitFor('nobody to listen', async () =>
        (await cli('PUBSUB', 'NUMSUB', `wh:ch:${TICKER}`)).split('\n')[1] === '0', { timeout: 10000 });
    });

    test(`calls a service: ${language}`, async () => {
      const action = { kind: 'rpc', method: 'products.v1.list', params: { limit: 100 } };
      const { stdout } = await shell(await commandOf(language, snippets(action, place())[language].text));
      assert.match(stdout, /products/);
      assert.match(stdout, new RegExp(context.product));
    });

    test(`logs in and orders, each time anew: ${language}`, async () => {
      const orders = async () => {
        const params = {
          lines: [{ product: context.product, quantity: 1 }], card: '4242424242424242', idempotency_key: randomUUID(),
        };
        const all = snippets({ kind: 'rpc', method: 'orders.v1.create', params, needsUser: true }, place('ann'));
        const token = language === 'c'
          ? (await shell(`${all.shell.text.split('\n\n')[0]}\necho "$TOKEN"`)).stdout.trim() : undefined;
        const { stdout } = await shell(await commandOf(language, all[language].text), token ? { TOKEN: token } : {});
        return stdout.match(/order"?: ?["'][0-9a-f-]{36}/g);
      };
      const first = await orders();
      assert(first?.length >= 1);
      assert.notDeepEqual(await orders(), first);
    });
  }

  test('says why a call is refused, in C', async () => {
    const action = { kind: 'rpc', method: 'orders.v1.create', params: {}, needsUser: true };
    const command = await commandOf('c', snippets(action, place('ann')).c.text);
    await assert.rejects(shell(command, { TOKEN: '' }), ({ code, stderr }) => code === 1 && stderr.length > 1);
  });

  test('turns up the load as Ann: each language', async () => {
    for (const [index, language] of LANGUAGES.entries()) {
      const rate = 100 * (index + 1);
      const all = snippets({ kind: 'rpc', method: 'demo.v1.load', params: { rate }, needsUser: true }, place('ann'));
      const TOKEN = (await shell(`${all.shell.text.split('\n\n')[0]}\necho "$TOKEN"`)).stdout.trim();
      const { stdout } = await shell(await commandOf(language, all[language].text), { TOKEN });
      assert.match(stdout, new RegExp(`rate"?: ?${rate}\\b`));
    }
  });

  test('hears through Redis what the hub hears', async () => {
    const { text } = snippets({ kind: 'subscribe', channel: TICKER }, place()).redis;
    assert.match(await firstLine(text, /Tin/, () => sell()), /\{"name":"Tin"\}/);
  });

  test('publishes through Redis what a client then hears', async () => {
    const listen = await commandOf('javascript', snippets({ kind: 'subscribe', channel: TICKER }, place()).javascript.text);
    const { text } = snippets({ kind: 'publish', channel: TICKER, data: { name: "Ann's \"best\" beans" } }, place()).redis;
    const line = await firstLine(listen, /beans/, async () => {
      await waitFor('who listens', async () => (await shell(text)).stdout === '1\n', { timeout: 15000, interval: 100 });
    });
    assert.match(line, /Ann's "best" beans|Ann\\'s "best" beans/);
  });

  test('sees in Redis who serves a call, and the call go by', async () => {
    const action = { kind: 'rpc', method: 'products.v1.list', params: { limit: 100 } };
    const { redis, shell: call } = snippets(action, place());
    let isAsked = false;
    const line = await firstLine(redis.text, /"BLMPOP"|"RPUSH"/i, async () => {
      await waitFor('MONITOR', async () => (await cli('INFO', 'clients')).includes('connected_clients') &&
        (await cli('CLIENT', 'LIST')).includes('cmd=monitor'), { timeout: 15000 });
      isAsked = (await shell(call.text)).stdout.includes('products');
    });
    assert(isAsked);
    assert.match(line, /wh:rpc:products/);
    const [numbers] = redis.text.split('\n\n');
    assert.match((await shell(numbers)).stdout, /^wh:rpc:alive:products\n1\n0\n$/);
  });
});
