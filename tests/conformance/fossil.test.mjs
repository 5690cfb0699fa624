// Our patches, applied by the official client: bytes by the function inside of its bundle, text by
// the client itself, which sits on a socket that only pretends.

import { Centrifuge } from 'centrifuge';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const HUB = process.env.WIREHUB_BIN ?? path.join(ROOT, 'build/debug/bin/wirehub');
const DELTA_TOOL = path.join(path.dirname(HUB), 'delta_tool');

const encode = (text) => new TextEncoder().encode(text);
// Halves of characters become U+FFFD; the toWellFormed() of texts came after Node 18.
const wellFormed = (text) => new TextDecoder().decode(encode(text));
const base64 = (bytes) => Buffer.from(bytes).toString('base64') || '-';

// The patches for a list of [source, target] in bytes, by our own code.
function createPatches(mode, pairs) {
  const lines = pairs.map(([source, target]) => `${mode} ${base64(source)} ${base64(target)}\n`);
  const options = { input: lines.join(''), maxBuffer: 1 << 28, timeout: 20000 };
  const output = execFileSync(DELTA_TOOL, options).toString().trimEnd();
  const patches = output.split('\n').map((line) => Buffer.from(line, 'base64'));
  assert.equal(patches.length, pairs.length);
  return patches;
}

// The bundle does not export the function, so it is cut out: from its digits to the next class.
function loadApplyDelta() {
  const entry = createRequire(import.meta.url).resolve('centrifuge');
  const bundle = fs.readFileSync(path.join(path.dirname(entry), 'index.mjs'), 'utf8');
  const begin = bundle.indexOf('const zValue');
  const end = bundle.indexOf('/** @internal */\nclass JsonCodec', begin);
  assert.ok(begin > 0 && end > begin, 'the bundle is built in another way now');
  return new Function(`${bundle.slice(begin, end)}; return applyDelta;`)();
}

// Numbers below `bound` that every run repeats.
function makeRandom(seed) {
  let state = seed;
  return (bound) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * bound);
  };
}

const LETTERS = ['a', 'b', '0', '"', '\\', '\n', ' ', 'é', 'è', 'ũ', '€', '₭', '😀', '😁', '\u2028'];

function randomText(random, length) {
  return Array.from({ length }, () => LETTERS[random(LETTERS.length)]).join('');
}

// Pieces of `from` (an array or a text) in any order, with something fresh between.
function editPieces(random, from, fresh) {
  const pieces = [];
  for (let left = 1 + random(4); left > 0; left--) {
    const begin = random(from.length + 1);
    const end = begin + random(from.length + 1 - begin);
    pieces.push(from.slice(begin, end), fresh(random(20)));
  }
  return pieces;
}

test('patches of bytes make the target', () => {
  const random = makeRandom(1);
  const randomBytes = (length) => Array.from({ length }, () => random(256));
  const pairs = [[[], []], [[], [1]], [[1], []], [[0, 0, 0, 0], [255, 255, 255, 255, 255]]];
  for (let i = 0; i < 500; i++) {
    const source = randomBytes(random(i % 10 ? 200 : 5000));
    pairs.push([source, editPieces(random, source, randomBytes).flat()]);
  }
  const large = randomBytes(200000);
  pairs.push([large, [...large.slice(1000), 1, ...large]]);
  const applyDelta = loadApplyDelta();
  const patches = createPatches('bytes', pairs);
  pairs.forEach(([source, target], i) => {
    const result = applyDelta(Uint8Array.from(source), new Uint8Array(patches[i]));
    assert.ok(Buffer.from(result).equals(Buffer.from(target)), `pair ${i}`);
  });
  assert.ok(patches.at(-1).length < 1000);
});

// A server of one subscription that negotiates delta.
class PretendedSocket {
  static last;

  constructor() {
    PretendedSocket.last = this;
    queueMicrotask(() => this.onopen());
  }

  send(frame) {
    for (const line of frame.split('\n')) {
      const command = JSON.parse(line);
      if (command.connect) this.push({ id: command.id, connect: { client: 'c', version: '' } });
      if (command.subscribe) {
        assert.equal(command.subscribe.delta, 'fossil');
        this.push({ id: command.id, subscribe: { delta: true } });
      }
    }
  }

  push(reply) {
    queueMicrotask(() => this.onmessage({ data: JSON.stringify(reply) }));
  }

  close() {
    queueMicrotask(() => this.onclose({ code: 1000, reason: '' }));
  }
}

// Letters that share their first or their last byte, so that what differs is half a character.
const SWAPS = [['é', 'è'], ['é', 'ũ'], ['è', 'é'], ['ũ', 'é'], ['€', '₭'], ['😀', '😁']];

// Documents as a channel might carry them: each much like the one before.
function makeDocuments(random) {
  const documents = [{ note: 'é😀€', price: 101.25, log: [] }];
  for (let i = 0; i < 300; i++) {
    const { note, price, log } = documents.at(-1);
    const edited = () => editPieces(random, note, (length) => randomText(random, length)).join('');
    const swapped = () => note.replace(...SWAPS[random(SWAPS.length)]);
    documents.push({
      note: i % 7 ? swapped() : wellFormed(edited().slice(0, 500)),
      price: price + random(100) / 4,
      log: [...log, i].slice(-50),
    });
  }
  const long = randomText(random, 100000);
  documents.push({ note: long }, { note: `${wellFormed(long.slice(0, 50000))}!${long}` });
  return documents;
}

test('the client reads a chain of publications as patches of text', async () => {
  const documents = makeDocuments(makeRandom(2));
  const texts = documents.map((document) => JSON.stringify(document));
  const pairs = texts.slice(1).map((text, i) => [encode(texts[i]), encode(text)]);
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const patches = createPatches('utf8', pairs).map((patch) => decoder.decode(patch));
  assert.ok(patches.filter((patch, i) => patch.length < texts[i + 1].length).length > 250);

  const client = new Centrifuge('ws://nowhere', { websocket: PretendedSocket });
  const subscription = client.newSubscription('c', { delta: 'fossil' });
  const received = [];
  const all = new Promise((resolve, reject) => {
    subscription.on('publication', (event) => {
      received.push(event.data);
      if (received.length === documents.length) resolve();
    });
    subscription.on('unsubscribed', (event) => reject(new Error(event.reason)));
    client.on('connecting', (event) => { if (received.length) reject(new Error(event.reason)); });
  });
  const subscribed = new Promise((resolve) => { subscription.on('subscribed', resolve); });
  subscription.subscribe();
  client.connect();
  await subscribed;
  const socket = PretendedSocket.last;
  socket.push({ push: { channel: 'c', pub: { data: texts[0] } } });
  for (const data of patches) socket.push({ push: { channel: 'c', pub: { data, delta: true } } });
  await all.finally(() => client.disconnect());
  assert.deepEqual(received, documents);
});
