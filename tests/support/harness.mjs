// What tests in node drive: a private redis-server and hubs, each ended by its pid.  The twin of
// redis_server.py and hub.py; the log fields that both read are the hub's own.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
export const HMAC_SECRET = 'a secret that only the tests know 4f1c';

const SANITIZER_EXIT = 86;
const SANITIZER_MARKS = ['AddressSanitizer', 'LeakSanitizer', 'ThreadSanitizer', 'runtime error:',
  'UndefinedBehaviorSanitizer'];

const DEFAULT_CONFIG = {
  http_server: { address: '127.0.0.1', port: 0 },
  client: {
    allow_anonymous_connect_without_token: true,
    token: { hmac_secret_key: HMAC_SECRET },
  },
  channel: {
    without_namespace: {
      allow_subscribe_for_client: true,
      allow_subscribe_for_anonymous: true,
      allow_publish_for_subscriber: true,
      allow_publish_for_anonymous: true,
    },
    namespaces: [
      { name: 'market', allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true },
      {
        name: 'demo', allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true,
        allow_publish_for_client: true, allow_publish_for_anonymous: true,
      },
      { name: 'closed' },
    ],
  },
  drain: { spread: '0ms' },
  log: { level: 'info', format: 'json' },
  workers: 1,
};

const isMapping = (value) =>
  value !== null && typeof value === 'object' && !Array.isArray(value);

// Deep for mappings; lists and scalars of `over` replace those of `base`.
export function merge(base, over) {
  if (!isMapping(base) || !isMapping(over)) return over;
  const merged = { ...base };
  for (const [key, value] of Object.entries(over)) merged[key] = merge(base[key], value);
  return merged;
}

// Polls until `condition` returns something true, which is the result.
export async function waitFor(what, condition, { timeout = 5000, interval = 10 } = {}) {
  const deadline = Date.now() + timeout;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`waited ${timeout} ms in vain: ${what}`);
    await sleep(interval);
  }
}

// The next `name` event of a client or subscription, as its context.
export function once(emitter, name, { timeout = 5000 } = {}) {
  const promise = new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      emitter.removeListener(name, onEvent);
      reject(new Error(`no "${name}" within ${timeout} ms`));
    }, timeout);
    const onEvent = (context) => {
      clearTimeout(timer);
      resolve(context);
    };
    emitter.once(name, onEvent);
  });
  promise.catch(() => {}); // a test that failed before it awaits this has failed already
  return promise;
}

// `promise`, or an error that says what was waited for.
export async function within(what, promise, timeout = 10000) {
  const timer = new AbortController();
  const late = sleep(timeout, null, { signal: timer.signal }).then(() => {
    throw new Error(`waited ${timeout} ms in vain: ${what}`);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    late.catch(() => {});
    timer.abort();
  }
}

function run(command, args, { input, timeout = 10000 } = {}) {
  return new Promise((resolve, reject) => {
    const child = execFile(command, args, { timeout, encoding: 'buffer' },
      (error, stdout, stderr) => {
        if (error) reject(new Error(`${command} ${args[0]}: ${error.message} ${stderr}`));
        else resolve(stdout);
      });
    child.stdin.end(input);
  });
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

async function ended(child) {
  if (child.exitCode === null && child.signalCode === null) {
    await new Promise((resolve) => { child.once('exit', resolve); });
  }
}

const isRunning = (child) => child.exitCode === null && child.signalCode === null;

export class Redis {
  static async start() {
    for (let tries = 0; tries < 5; tries += 1) {
      const redis = new Redis(await freePort());
      if (await redis.isUp()) return redis;
      await redis.close(); // somebody was faster with the port
    }
    throw new Error('redis-server did not start');
  }

  constructor(port) {
    this.port = port;
    this.directory = fs.mkdtempSync(path.join(os.tmpdir(), 'wirehub-redis-'));
    this.process = spawn('redis-server', ['--bind', '127.0.0.1', '--port', String(port),
      '--save', '', '--appendonly', 'no', '--dir', this.directory], { stdio: 'ignore' });
  }

  async isUp() {
    return waitFor('redis-server', async () => {
      if (!isRunning(this.process)) return 'ended';
      return this.cli('PING').then((out) => String(out) === 'PONG\n' && 'up', () => false);
    }).then((state) => state === 'up', () => false);
  }

  // With `input` that is the last argument, the only way in for binary data.
  cli(...args) {
    return run('redis-cli', ['-p', String(this.port), ...args]);
  }

  // Resolves to how many connections of hubs received it.
  async publish(channel, payload) {
    const out = await run('redis-cli',
      ['-p', String(this.port), '-x', 'PUBLISH', `wh:ch:${channel}`], { input: payload });
    return Number(out);
  }

  // Many in one go, over one connection, in order; payloads are one line each.
  async publishAll(channel, payloads) {
    const text = payloads.map((payload) =>
      `PUBLISH wh:ch:${channel} "${payload.replace(/(["\\])/g, '\\$1')}"\n`).join('');
    await run('redis-cli', ['-p', String(this.port)], { input: text, timeout: 60000 });
  }

  async waitSubscribers(channel, count) {
    await waitFor(`${count} subscriptions of ${channel}`, async () => {
      const out = String(await this.cli('PUBSUB', 'NUMSUB', `wh:ch:${channel}`));
      return Number(out.split('\n')[1]) === count;
    });
  }

  async close() {
    if (isRunning(this.process)) this.process.kill('SIGKILL');
    await ended(this.process);
    fs.rmSync(this.directory, { recursive: true });
  }
}

export class Hub {
  // `config` is merged over the defaults; with `redis` that is its engine.
  static async start(config = {}, { redis = null } = {}) {
    const engine = redis
      ? { engine: { type: 'redis', redis: { address: `127.0.0.1:${redis.port}` } } } : {};
    const hub = new Hub(merge(merge(DEFAULT_CONFIG, config), engine));
    try {
      hub.port = (await hub.waitLog('listening', {}, { timeout: 15000 })).port;
      await hub.waitReady();
    } catch (error) {
      hub.process.kill('SIGKILL');
      throw new Error(`${error.message}; its output:\n${hub.lines.slice(-20).join('\n')}`);
    }
    return hub;
  }

  constructor(config) {
    this.config = config;
    this.expectedExit = 0;
    this.lines = [];
    this.records = [];
    this.directory = fs.mkdtempSync(path.join(os.tmpdir(), 'wirehub-hub-'));
    const file = path.join(this.directory, 'wirehub.json');
    fs.writeFileSync(file, JSON.stringify(config, null, 2)); // JSON is YAML
    const binary = process.env.WIREHUB_BIN ?? path.join(ROOT, 'build/debug/bin/wirehub');
    const environment = Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !name.startsWith('WIREHUB_')));
    const sanitizer = `exitcode=${SANITIZER_EXIT}:abort_on_error=0`;
    this.process = spawn(binary, ['serve', '--config', file], {
      env: { ...environment, ASAN_OPTIONS: sanitizer, UBSAN_OPTIONS: sanitizer },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.outputs = [this.process.stdout, this.process.stderr].map((stream) => {
      const reader = readline.createInterface({ input: stream });
      reader.on('line', (line) => this.take(line));
      return new Promise((resolve) => { reader.on('close', resolve); });
    });
  }

  take(line) {
    this.lines.push(line);
    try {
      this.records.push(JSON.parse(line));
    } catch {
      // a sanitizer's report, judged at the end
    }
  }

  get wsUrl() {
    return `ws://127.0.0.1:${this.port}/connection/websocket`;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  // The first record at or after index `since` with this event and these fields.
  waitLog(event, fields = {}, { timeout = 5000, since = 0 } = {}) {
    const wanted = Object.entries({ event, ...fields });
    return waitFor(`log event ${JSON.stringify({ event, ...fields })}`, () => {
      const found = this.records.slice(since)
        .find((record) => wanted.every(([key, value]) => record[key] === value));
      if (!found && !isRunning(this.process)) throw new Error('the hub ended');
      return found;
    }, { timeout });
  }

  // Not before the supervisor has written that all workers are ready: a worker may answer earlier
  // than that, and workerPids must have them.
  waitReady() {
    const isSaid = () => this.records.some((record) => record.event === 'ready');
    return waitFor('readiness', async () => {
      if (!isRunning(this.process)) throw new Error('the hub ended');
      return fetch(`${this.url}/readyz`).then((reply) => reply.ok && isSaid(), () => false);
    }, { timeout: 15000 });
  }

  async metrics() {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    const samples = text.split('\n').filter((line) => line && !line.startsWith('#'))
      .map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]);
    return Object.fromEntries(samples);
  }

  // Living workers, in the order in which they started.
  get workerPids() {
    const started = this.records.filter((record) => record.event === 'worker_started')
      .map((record) => record.pid);
    return [...new Set(started)].filter(isAlive);
  }

  killWorker(pid = this.workerPids[0]) {
    process.kill(pid, 'SIGKILL');
    return pid;
  }

  terminate() {
    this.process.kill('SIGTERM');
  }

  // Ends the hub and judges what it leaves: exit code, sanitizers, secrets in the log, workers.
  async close() {
    const workers = this.workerPids;
    let isHung = false;
    if (isRunning(this.process)) {
      this.terminate();
      const timer = setTimeout(() => {
        isHung = true;
        this.process.kill('SIGKILL');
      }, 15000);
      await ended(this.process);
      clearTimeout(timer);
    }
    await Promise.all(this.outputs);
    fs.rmSync(this.directory, { recursive: true });
    const left = workers.filter(isAlive);
    for (const pid of left) process.kill(pid, 'SIGKILL');
    const output = this.lines.join('\n');
    const end = `; its output ends:\n${this.lines.slice(-40).join('\n')}`;
    assert(!isHung, `the hub did not end after SIGTERM${end}`);
    assert.deepEqual(left, [], `workers outlived the hub${end}`);
    for (const mark of SANITIZER_MARKS) assert(!output.includes(mark), `${mark}${end}`);
    assert(!output.includes(HMAC_SECRET), `a secret is in the log${end}`);
    assert.equal(this.process.exitCode, this.expectedExit, `exit of the hub${end}`);
  }
}

function isAlive(pid) {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3) !== 'Z';
  } catch {
    return false;
  }
}

// A JWT with HS256.
export function makeToken(claims, secret = HMAC_SECRET) {
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(claims)}`;
  const signature = crypto.createHmac('sha256', secret).update(signed).digest('base64url');
  return `${signed}.${signature}`;
}

export const inSeconds = (seconds) => Math.floor(Date.now() / 1000) + seconds;
