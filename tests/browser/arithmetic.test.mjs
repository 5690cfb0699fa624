// The page's modules that need no page.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import { describe, test } from 'node:test';

import { framed } from '../../web-demo/dom.js';
import * as format from '../../web-demo/format.js';
import { createMemory, describeFrame, isNoise, remember, withoutSecrets } from '../../web-demo/frames.js';
import { arrived, createClockGuard, createLatencyWindow, createSequence } from '../../web-demo/latency.js';
import { createLedger, publication, recoveryOutcome, subscribed } from '../../web-demo/ledger.js';
import { outageText, verdict } from '../../web-demo/ledger_view.js';
import { accepted, applyEvent, begin, createOrders, refused } from '../../web-demo/orders_model.js';
import { partsOf } from '../../web-demo/service_map.js';
import { inWords, peopleOf } from '../../web-demo/presence.js';
import { jsonSize, msgpackSize, protobufSize, varintSize } from '../../web-demo/wire_size.js';

const require = createRequire(new URL('../../web-demo/page.js', import.meta.url));
const counts = ({ published, received, gaps, unrecoverable, duplicates }) =>
  ({ published, received, gaps, unrecoverable, duplicates });
const at = (offset, epoch = 'a') => ({ offset, epoch });
const receive = (ledger, ...offsets) => offsets.forEach((offset) => publication(ledger, offset));

describe('the ledger', () => {
  const started = (offset = 10) => {
    const ledger = createLedger();
    subscribed(ledger, { position: at(offset), wasRecovering: false, recovered: false });
    return ledger;
  };

  test('counts from where it began and finds nothing missing', () => {
    const ledger = started();
    receive(ledger, 11, 12, 13);
    assert.deepEqual(counts(ledger),
      { published: 3, received: 3, gaps: 0, unrecoverable: 0, duplicates: 0 });
    assert.equal(recoveryOutcome(ledger), null);
    assert.equal(verdict(ledger).tone, 'good');
    assert.deepEqual(verdict(ledger, false),
      { tone: 'wait', text: 'Away. What is published meanwhile is counted on the way back.' });
  });

  test('sees a hole and what comes twice', () => {
    const ledger = started();
    receive(ledger, 11, 14, 14, 12, 15);
    assert.deepEqual(counts(ledger),
      { published: 5, received: 3, gaps: 2, unrecoverable: 0, duplicates: 2 });
    assert.equal(verdict(ledger).tone, 'bad');
    assert.match(verdict(ledger).text, /^2 publications never arrived; 2 arrived twice\.$/);
  });

  test('counts what a recovery brought', () => {
    const ledger = started();
    receive(ledger, 11);
    subscribed(ledger, { position: at(11), wasRecovering: true, recovered: true });
    receive(ledger, 12, 13, 14);
    const outcome = recoveryOutcome(ledger);
    assert.deepEqual(outcome,
      { isComplete: true, isNewEpoch: false, recovered: 3, lost: 0, duplicated: 0 });
    assert.equal(outageText(outcome), 'Recovered 3 messages, 0 lost, 0 duplicated.');
    assert.deepEqual(counts(ledger),
      { published: 4, received: 4, gaps: 0, unrecoverable: 0, duplicates: 0 });
  });

  test('does not believe a recovery that leaves a hole or repeats', () => {
    const ledger = started();
    receive(ledger, 11);
    subscribed(ledger, { position: at(11), wasRecovering: true, recovered: true });
    receive(ledger, 11, 13);
    assert.deepEqual(recoveryOutcome(ledger),
      { isComplete: true, isNewEpoch: false, recovered: 1, lost: 1, duplicated: 1 });
  });

  test('tells how many are lost when history was exceeded', () => {
    const ledger = started();
    receive(ledger, 11);
    subscribed(ledger, { position: at(8011), wasRecovering: true, recovered: false });
    const outcome = recoveryOutcome(ledger);
    assert.deepEqual(outcome,
      { isComplete: false, isNewEpoch: false, recovered: 0, lost: 8000, duplicated: 0 });
    assert.match(outageText(outcome), /^History was exceeded: 8,000 messages lost\./);
    receive(ledger, 8012);
    assert.deepEqual(counts(ledger),
      { published: 8002, received: 2, gaps: 0, unrecoverable: 8000, duplicates: 0 });
    assert.equal(verdict(ledger).tone, 'wait');
  });

  test('does not pretend to know what a new epoch cost', () => {
    const ledger = started();
    receive(ledger, 11);
    subscribed(ledger, { position: at(3, 'b'), wasRecovering: true, recovered: false });
    assert.equal(recoveryOutcome(ledger).isNewEpoch, true);
    receive(ledger, 4);
    assert.deepEqual(counts(ledger),
      { published: 2, received: 2, gaps: 0, unrecoverable: 0, duplicates: 0 });
    assert.match(verdict(ledger).text, /began anew once/);
  });

  test('always adds up', () => {
    const ledger = started(0);
    for (let i = 0; i < 2000; i += 1) {
      const kind = (i * 7919) % 11;
      if (kind < 8) publication(ledger, ledger.last + 1);
      else if (kind === 8) publication(ledger, ledger.last + 3);
      else if (kind === 9) publication(ledger, Math.max(1, ledger.last - 2));
      else subscribed(ledger, { position: at(ledger.last + 5), wasRecovering: true, recovered: i % 2 === 0 });
    }
    const { published, received, gaps, unrecoverable } = ledger;
    assert.equal(published, received + gaps + unrecoverable);
    assert.equal(published, ledger.last);
  });
});

describe('the latency window', () => {
  test('has percentiles within five per cent', () => {
    const window = createLatencyWindow(60);
    for (let i = 1; i <= 1000; i += 1) window.record(5000 + (i % 900), i / 10);
    const { count, p50, p99 } = window.summary(6000);
    assert.equal(count, 1000);
    assert(Math.abs(p50 - 50) / 50 < 0.05, `p50 ${p50}`);
    assert(Math.abs(p99 - 99) / 99 < 0.05, `p99 ${p99}`);
  });

  test('forgets what is older than it is long, also over a pause', () => {
    const window = createLatencyWindow(10);
    window.record(1000, 5);
    assert.equal(window.summary(2500).count, 1);
    assert.equal(window.summary(60000).count, 0);
    window.record(61000, 7);
    const { count, p50 } = window.series(62000);
    assert.deepEqual(count.filter(Boolean), [1]);
    assert.equal(p50.filter((value) => value !== null).length, 1);
  });

  test('keeps the running second back and shows empty ones as such', () => {
    const window = createLatencyWindow(5);
    window.record(10100, 1);
    window.record(12100, 1);
    const series = window.series(12900);
    assert.deepEqual(series.count, [0, 0, 1, 0]);
    assert.equal(series.seconds.at(-1), -1);
  });

  test('survives values beyond its buckets', () => {
    const window = createLatencyWindow(5);
    for (const value of [-3, 0, 1e12]) window.record(1000, value);
    assert.equal(window.summary(2000).count, 3);
  });
});

describe('a sequence without history', () => {
  test('tells what was missed, and takes a new run as one', () => {
    const sequence = createSequence();
    [5, 6, 9, 1, 2].forEach((n) => arrived(sequence, n));
    assert.deepEqual([sequence.received, sequence.missed], [5, 2]);
  });

  test('no message arrives before it was sent', () => {
    const guard = createClockGuard();
    assert.equal(guard.latency(1000, 1005), 5);
    assert.equal(guard.latency(1030, 1010), 0);
    assert.equal(guard.latency(1030, 1012), 2);
    assert.equal(guard.correction, 20);
  });
});

describe('orders', () => {
  const event = (id, type, data = {}) => ({ id, type, data: { order: 'o1', ...data } });

  test('line up by what happened, each event once', () => {
    const orders = createOrders();
    const order = begin(orders, { key: 'k', name: 'Decaf', price: null, now: 100 });
    accepted(orders, order, { id: 'o1', now: 110 });
    assert(applyEvent(orders, event('e1', 'order.created.v1'), { now: 112, trace: 't' }));
    assert(!applyEvent(orders, event('e1', 'order.created.v1'), { now: 190, trace: 't' }));
    applyEvent(orders, event('e2', 'payment.authorized.v1'), { now: 130, trace: 't' });
    applyEvent(orders, event('e3', 'order.confirmed.v1'), { now: 140, trace: 't' });
    assert.deepEqual(order.lines.map(({ title, since }) => [title, since]),
      [['Call answered', 10], ['Order created', 12], ['Payment authorized', 30], ['Order confirmed', 40]]);
    assert.equal(order.state, 'confirmed');
    assert.equal(order.trace, 't');
  });

  test('take events that were faster than the answer', () => {
    const orders = createOrders();
    const order = begin(orders, { key: 'k', name: 'Decaf', price: null, now: 100 });
    applyEvent(orders, event('e1', 'order.created.v1'), { now: 104, trace: 't' });
    accepted(orders, order, { id: 'o1', now: 110 });
    assert.deepEqual(orders.list, [order]);
    assert.deepEqual(order.lines.map(({ title, since }) => [title, since]),
      [['Order created', 4], ['Call answered', 10]]);
  });

  test('say why they were undone', () => {
    const orders = createOrders();
    const order = begin(orders, { key: 'k', name: 'Decaf', price: null, now: 0 });
    accepted(orders, order, { id: 'o1', now: 1 });
    applyEvent(orders, event('e1', 'payment.declined.v1', { reason: 'insufficient_funds' }), { now: 2, trace: null });
    applyEvent(orders, event('e2', 'order.cancelled.v1', { reason: 'payment_declined' }), { now: 3, trace: null });
    assert.equal(order.state, 'cancelled');
    assert.deepEqual(order.lines.slice(1).map(({ text }) => text),
      ['Insufficient funds.', 'Compensated: the goods are back in stock, for the payment was declined.']);
  });

  test('know when the call itself was refused, and keep to their number', () => {
    const orders = createOrders(2);
    const list = ['a', 'b', 'c'].map((key) => begin(orders, { key, name: key, price: null, now: 0 }));
    assert.deepEqual(orders.list, [list[2], list[1]]);
    refused(list[2], { code: 409, message: 'out of stock', now: 5 });
    assert.equal(list[2].state, 'refused');
    assert.match(list[2].lines[0].text, /out of stock \(code 409\)/);
  });

  test('do not mind what is no event', () => {
    const orders = createOrders();
    for (const strange of [null, 1, {}, { type: 'order.created.v1' }, { type: 'x', data: { order: 'o' } }]) {
      assert.equal(applyEvent(orders, strange, { now: 0, trace: null }), false);
    }
  });
});

describe('sizes on the wire', () => {
  const { encode } = require('@msgpack/msgpack');
  // The bytes there were made by encoders that know nothing of this table.
  const cases = fs.readFileSync(new URL('../golden/messages.txt', import.meta.url), 'utf8')
    .replace(/^#.*\n/gm, '').replace(/\n +/g, ' ').trim().split(/\n\n+/)
    .map((paragraph) => Object.fromEntries(paragraph.split('\n')
      .map((line) => [line.split(' ', 1)[0], line.slice(line.indexOf(' ') + 1)])))
    .filter(({ json, protobuf, schema }) => json && protobuf && ['Command', 'Reply'].includes(schema));
  const lengthOf = (hex) => hex.trim().split(/\s+/).length;

  test('has cases to be held against', () => assert(cases.length > 30, `${cases.length}`));

  for (const golden of cases) {
    test(`are those of the golden bytes: ${golden.case}`, () => {
      const messages = [JSON.parse(golden.json)];
      const direction = golden.schema === 'Command' ? 'out' : 'in';
      assert.equal(protobufSize(messages, direction), lengthOf(golden.protobuf));
      assert.equal(jsonSize(messages), Buffer.byteLength(golden.json));
      if (golden.msgpack) assert.equal(msgpackSize(messages, encode), lengthOf(golden.msgpack));
    });
  }

  test('JSON has separators, MessagePack none', () => {
    const two = [{ id: 1 }, { id: 2 }];
    assert.equal(jsonSize(two), '{"id":1}\n{"id":2}'.length);
    assert.equal(msgpackSize(two, encode), 10);
    assert.equal(jsonSize([{ t: 'ö' }]), 10);
  });

  test('varints grow at 7 bits', () => {
    assert.deepEqual([0, 127, 128, 16383, 16384, 2 ** 32, 2 ** 53].map(varintSize), [1, 1, 2, 2, 3, 5, 8]);
  });
});

describe('frames', () => {
  test('are told by what was asked and by the names behind numbers', () => {
    const memory = createMemory();
    const told = (direction, ...messages) => {
      remember(memory, { direction, messages });
      return describeFrame({ direction, messages }, memory);
    };
    assert.equal(told('out', { id: 1, connect: {} }, { id: 2, subscribe: { channel: 'a' } }), 'connect and 1 more');
    assert.equal(told('in', { id: 2, subscribe: { id: 9 } }), 'reply: subscribe a');
    assert.equal(told('in', { push: { id: 9, pub: { data: 1, offset: 4 } } }), 'push a #4');
    assert.equal(told('out', { id: 3, rpc: { method: 'x.v1.y' } }), 'rpc x.v1.y');
    assert.equal(told('in', { id: 3, error: { code: 104 } }), 'error 104: rpc x.v1.y');
    assert.equal(told('in', {}), 'ping');
    assert.equal(told('out', {}), 'pong');
    assert.equal(told('in', { push: { channel: 'b', join: { info: {} } } }), 'join b');
    assert(isNoise([{ push: { id: 9, pub: {} } }, {}], new Set(['a']), memory));
    assert(!isNoise([{ push: { id: 9, pub: {} } }, { id: 3, rpc: {} }], new Set(['a']), memory));
    told('out', { id: 1, connect: {} });
    assert.equal(told('in', { push: { id: 9, pub: {} } }), 'push channel 9');
  });

  test('show no secrets', () => {
    const shown = JSON.stringify(withoutSecrets({ connect: { token: 'abcdefghijklmnop' }, a: [{ password: 'hunter2hunter2' }] }));
    assert(!shown.includes('ghijk') && !shown.includes('2hunter2'), shown);
    assert(shown.includes('(16 characters)'));
  });
});

describe('words', () => {
  test('for people', () => {
    const clients = new Map([['1', { user: 'a', name: 'ann' }], ['2', { user: 'a', name: 'ann' }],
      ['3', { user: 'b', name: 'bob' }], ['4', { user: '' }], ['5', { user: '' }]]);
    const people = peopleOf(clients, 'a');
    assert.deepEqual(people.list.map(({ name, isYou }) => [name, isYou]), [['ann', true], ['bob', false]]);
    assert.equal(inWords(people, false), 'You, Bob and 2 guests are here.');
    assert.equal(inWords(peopleOf(clients, undefined), true), 'Ann, Bob, you and 1 guest are here.');
    assert.equal(inWords(peopleOf(new Map([['1', { user: 'b', name: 'bob' }]]), 'x'), false), 'Bob is here.');
    assert.equal(inWords(peopleOf(new Map([['1', { user: '' }]]), undefined), true), 'You are here.');
  });

  test('for money, in the digits of each currency', () => {
    assert.equal(format.money({ amount_minor: 1999, currency: 'EUR' }), '€19.99');
    assert.equal(format.money({ amount_minor: 1999, currency: 'JPY' }), '¥1,999');
    assert.match(format.money({ amount_minor: 1999, currency: 'KWD' }), /1\.999/);
  });

  test('for times, sizes and traces', () => {
    assert.deepEqual([0.04, 9.96, 999.6, 12000, NaN].map(format.milliseconds),
      ['0.0 ms', '10 ms', '1.00 s', '12.0 s', '–']);
    assert.deepEqual([999, 1000, 99600, 1e6].map(format.bytes), ['999 B', '1.0 kB', '100 kB', '1.0 MB']);
    assert.deepEqual([0, 59000, 3600000].map(format.ago), ['just now', '59 s ago', '1 h ago']);
    assert.equal(format.clockWithMilliseconds(new Date(2026, 0, 31, 7, 5, 9, 42)), '07:05:09.042');
    assert.equal(format.traceId(`00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`), 'a'.repeat(32));
    assert.equal(format.traceId('nonsense'), null);
  });
});

describe('what is drawn', () => {
  // A clock, timers and frames that stand still until they are told.
  function still(t) {
    const world = { now: 1000, frames: [], timers: [], draws: 0 };
    t.mock.method(performance, 'now', () => world.now);
    t.mock.method(globalThis, 'setTimeout', (step, ms) => world.timers.push({ step, ms }));
    globalThis.requestAnimationFrame = (step) => world.frames.push(step);
    t.after(() => { delete globalThis.requestAnimationFrame; });
    return world;
  }
  const frame = (world) => world.frames.splice(0).forEach((step) => step());

  test('is drawn once a frame, however often it changes', (t) => {
    const world = still(t);
    const ask = framed(() => { world.draws += 1; });
    for (let i = 0; i < 5000; i += 1) ask();
    assert.equal(world.frames.length, 1);
    frame(world);
    ask();
    frame(world);
    assert.equal(world.draws, 2);
    assert.deepEqual(world.timers, []);
  });

  test('waits when it was drawn a moment ago, and the last change is not lost', (t) => {
    const world = still(t);
    let value = 0;
    let shown = null;
    const ask = framed(() => { shown = value; }, 100);
    ask();
    frame(world);
    assert.equal(shown, 0);
    world.now += 30;
    for (value = 1; value < 50; value += 1) ask();
    assert.deepEqual(world.timers.map(({ ms }) => ms), [70]);
    assert.deepEqual(world.frames, []);
    world.now += 70;
    world.timers[0].step();
    frame(world);
    assert.equal(shown, 50);
  });
});

describe('who answers', () => {
  const connection = { name: 'connected', encoding: 'json' };
  const worker = { worker: 0, workers: 2, engine: 'redis' };
  const stats = {
    hub: { connections: 3, rates: { publications: 51.6 } }, services: { users: 1, orders: 2, payments: 1, demo: 1 },
  };
  const said = (known) => Object.fromEntries(partsOf({ connection, worker, stats, isStale: false, ...known })
    .map(({ id, tone, state, detail }) => [id, [tone, state, detail]]));

  test('is told for each part in words, not in colour alone', () => {
    assert.deepEqual(said({}), {
      page: ['good', 'connected', 'JSON'],
      hub: ['good', 'worker 1 of 2 serves you', '3 connections'],
      redis: ['good', 'carries events', '52 a second'],
      users: ['good', 'up', ''],
      orders: ['good', 'up', '2 instances'],
      payments: ['good', 'up', ''],
      demo: ['good', 'up', ''],
    });
  });

  test('says of a service without instances that it is away', () => {
    const { users, payments } = said({ stats: { ...stats, services: { users: 1 } } });
    assert.deepEqual([users, payments], [['good', 'up', ''], ['bad', 'away', '']]);
  });

  test('claims nothing that the page cannot know', () => {
    const tones = (known) => Object.values(said(known)).map(([tone]) => tone);
    const unknown = 'unknown';
    assert.deepEqual(tones({ connection: { name: 'reconnecting' } }),
      ['wait', unknown, unknown, unknown, unknown, unknown, unknown]);
    assert.deepEqual(tones({ stats: null, worker: null }),
      ['good', 'good', unknown, unknown, unknown, unknown, unknown]);
    assert.deepEqual(tones({ isStale: true }), ['good', 'good', 'wait', unknown, unknown, unknown, unknown]);
    assert.equal(said({ isStale: true }).hub[2], '');
    assert.deepEqual(said({ worker: { ...worker, engine: 'memory' } }).redis, ['unknown', 'not used by this hub', '']);
  });

  test('survives numbers that are not there', () => {
    for (const odd of [{}, { hub: null, services: null }, { hub: {} }, { hub: { connections: 1, rates: null } }]) {
      for (const [, state, detail] of Object.values(said({ stats: odd }))) {
        assert.doesNotMatch(`${state} ${detail}`, /undefined|NaN|null/);
      }
    }
  });
});
