// The official JavaScript client under `./dev bench sdk`; sdk_receiver.c says what is asked and
// printed.   node sdk_receiver.mjs receive URL json|protobuf MESSAGES  |  hold URL CLIENTS

import fs from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(new URL('../conformance/package.json', import.meta.url));
const WebSocket = require('ws');
const FIRST_NUMBER = 1000000000;

function makeClient(url, encoding) {
  const { Centrifuge } = encoding === 'protobuf'
    ? require('centrifuge/build/protobuf') : require('centrifuge');
  return new Centrifuge(url, { websocket: WebSocket });
}

function receive(url, encoding, expected) {
  let count = 0, wrong = 0, started, startCpu;
  const decoder = new TextDecoder();
  const client = makeClient(url, encoding);
  const subscription = client.newSubscription('bench');
  subscription.on('publication', ({ data }) => {
    if (count === 0) {
      started = process.hrtime.bigint();
      startCpu = process.cpuUsage();
    }
    const number = encoding === 'protobuf'
      ? Number(decoder.decode(data.subarray(5, 15))) : data.n;
    if (number !== FIRST_NUMBER + count) wrong += 1;
    count += 1;
    if (count === expected) {
      const seconds = Number(process.hrtime.bigint() - started) / 1e9;
      const { user, system } = process.cpuUsage(startCpu);
      console.log(JSON.stringify(
        { messages: count, wrong, seconds, cpu_seconds: (user + system) / 1e6 }));
      process.exit(0);
    }
  });
  subscription.subscribe();
  client.connect();
}

async function hold(url, count) {
  const status = (field) => Number(
    fs.readFileSync('/proc/self/status', 'utf8').match(new RegExp(`^${field}:\\s+(\\d+)`, 'm'))[1]);
  const before = status('VmRSS');
  const ready = [];
  for (let i = 0; i < count; i++) {
    const client = makeClient(url, 'json');
    const subscription = client.newSubscription('bench');
    subscription.subscribe();
    client.connect();
    ready.push(subscription.ready(30000));
  }
  await Promise.all(ready);
  console.log(JSON.stringify({
    clients: count, before_kib: before, rss_kib: status('VmRSS'), threads: status('Threads') }));
  process.stdin.on('end', () => process.exit(0)).resume();
}

const [what, url, third, fourth] = process.argv.slice(2);
if (what === 'receive') receive(url, third, Number(fourth));
else await hold(url, Number(third));
