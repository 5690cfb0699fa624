// What the page costs under load: node tests/browser/profile.mjs [--rate 5000] [--seconds 15] [--rounds 3]
// [--top] [FOLDER…].  Needs WIREHUB_BIN to name a release build; no test.
//
// Each FOLDER has a web-demo/ of another version, in front of the same hub; without one it is this tree's.
// They take turns, so that what else the machine does hits all of them alike: compare the versions of
// one run, not the numbers of two.  With --top the functions that a CPU profile blames are listed.

import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';

import { chromium } from 'playwright-core';

import { ROOT, waitFor } from '../support/harness.mjs';
import { ARGUMENTS, comeIn, number, startDemo, text, waitForState } from './support.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rate: { type: 'string', default: '5000' }, seconds: { type: 'string', default: '15' },
    rounds: { type: 'string', default: '3' }, top: { type: 'boolean', default: false },
  },
});
const RATE = Number(values.rate);
const SECONDS = Number(values.seconds);
const WARM_UP_S = 3;
const versions = positionals.length ? positionals : [ROOT];

// Our own files from `folder`; packages and setup.js as the hub serves them.
async function serveFrom(page, folder) {
  await page.route(/\/demo\/[^/]*$/, async (route) => {
    const name = new URL(route.request().url()).pathname.split('/').pop() || 'index.html';
    const file = path.join(folder, 'web-demo', name);
    if (name === 'setup.js' || !fs.existsSync(file)) await route.continue();
    else await route.fulfill({ path: file });
  });
}

const ratio = (value, first) => (first > 0 ? (value / first).toFixed(2) : '–');
const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];

function blame({ nodes, samples, timeDeltas }, messages) {
  const self = new Map();
  const byId = new Map(nodes.map((node) => [node.id, node]));
  samples.forEach((id, index) => {
    const { functionName, url, lineNumber } = byId.get(id).callFrame;
    const name = `${functionName || 'anonymous'} ${path.basename(url)}:${lineNumber + 1}`;
    self.set(name, (self.get(name) ?? 0) + timeDeltas[index]);
  });
  return [...self].sort(([, a], [, b]) => b - a).slice(0, 25)
    .map(([name, us]) => `    ${(us / messages).toFixed(2).padStart(7)} µs  ${name}`);
}

// One page under load for a while: what it cost, by message, and what it shows.
async function measure(browser, url, folder) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  const page = await context.newPage();
  await serveFrom(page, folder);
  await page.goto(`${url}/demo/`); // what a redirection leads to is not routed
  await waitForState(page, 'connected');
  await comeIn(page, 'Ann');
  await page.evaluate(() => {
    globalThis.tasks = [];
    new PerformanceObserver((list) => globalThis.tasks.push(...list.getEntries().map(({ duration }) => duration)))
      .observe({ entryTypes: ['longtask'] });
  });
  await page.locator('#load-rate').fill(String(RATE));
  await waitFor('the load', async () => await number(page, '#load-received') > RATE * WARM_UP_S, { timeout: 30000 });
  const cdp = await context.newCDPSession(page);
  await cdp.send('Performance.enable');
  const metrics = async () => Object.fromEntries((await cdp.send('Performance.getMetrics')).metrics
    .map(({ name, value }) => [name, value]));
  if (values.top) {
    await cdp.send('Profiler.enable');
    await cdp.send('Profiler.start');
  }
  await page.evaluate(() => { globalThis.tasks.length = 0; });
  const [before, first] = [await metrics(), await number(page, '#load-received')];
  await sleep(SECONDS * 1000); // how long it is measured
  const [after, last] = [await metrics(), await number(page, '#load-received')];
  const [p50, p99] = [await text(page, '#p50'), await text(page, '#p99')];
  const tasks = await page.evaluate(() => globalThis.tasks);
  const messages = last - first;
  const micros = (name) => ((after[name] - before[name]) * 1e6) / messages;
  const top = values.top ? blame((await cdp.send('Profiler.stop')).profile, messages) : [];
  await page.locator('#load-rate').fill('0');
  await waitFor('quiet', async () => await text(page, '#load-per-second') === '0', { timeout: 10000 });
  await context.close();
  return {
    messages, busy: micros('TaskDuration'), script: micros('ScriptDuration'), layout: micros('LayoutDuration'),
    style: micros('RecalcStyleDuration'), p50: parseFloat(p50), p99: parseFloat(p99), tasks: tasks.length,
    longest: Math.max(0, ...tasks), top,
  };
}

const demo = await startDemo();
// A page that is not from the hub itself may otherwise not connect to an address of this machine.
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium', args: [...ARGUMENTS, '--disable-features=LocalNetworkAccessChecks'],
});
const all = versions.map(() => []);
try {
  for (let round = 0; round < Number(values.rounds); round += 1) {
    for (const [index, folder] of versions.entries()) {
      const result = await measure(browser, demo.url, path.resolve(folder));
      all[index].push(result);
      const { messages, top, ...rest } = result;
      console.log(`round ${round + 1}, version ${index + 1}: ${messages} messages, ` +
        Object.entries(rest).map(([name, value]) => `${name} ${value.toFixed(1)}`).join(', '));
      if (top.length) console.log(top.join('\n'));
    }
  }
} finally {
  await browser.close();
  await demo.close();
}
console.log('\nmedians; busy, script, layout and style in µs of the main thread by message, p50 and p99 in ms');
const names = ['busy', 'script', 'layout', 'style', 'p50', 'p99', 'tasks', 'longest'];
const medians = all.map((results) => names.map((name) => median(results.map((result) => result[name]))));
for (const [index, row] of medians.entries()) {
  console.log(`version ${index + 1}: ${names.map((name, i) => `${name} ${row[i].toFixed(1)}`).join(', ')}`);
  if (index > 0) {
    console.log(`  ÷ version 1: ${names.map((name, i) => `${name} ${ratio(row[i], medians[0][i])}`).join(', ')}`);
  }
}
