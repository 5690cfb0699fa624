// Pictures of the page in every state, to be looked at: node tests/browser/pictures.mjs [FOLDER]
// (build/screenshots without one).  No test.  With --readme the two of the README are made anew, from
// what the page really did.

import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { chromium } from 'playwright-core';

import { Hub, ROOT, Redis, waitFor } from '../support/harness.mjs';
import { ARGUMENTS, comeIn, demoFiles, number, startDemo, text, waitForState } from './support.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true, options: { readme: { type: 'boolean', default: false } },
});
const FOLDER = path.resolve(positionals[0] ?? path.join(ROOT, 'build/screenshots'));
const README = path.join(ROOT, 'web-demo/screenshots');
const WIDTHS = { wide: { width: 1440, height: 900 }, narrow: { width: 320, height: 800 } };
const PATIENT = { timeout: 20000 };

const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ARGUMENTS });
const closers = [() => browser.close()];

async function open(url, options = {}) {
  const context = await browser.newContext({ viewport: WIDTHS.wide, ...options });
  const page = await context.newPage();
  await page.goto(`${url}/`);
  return page;
}

async function snap(page, name) {
  await page.mouse.move(0, 0);
  await page.screenshot({ path: path.join(FOLDER, `${name}.png`), fullPage: true });
  console.log(name);
}

const buy = (page, name) => page.getByRole('button', { name: `Buy ${name}` }).click();
const newest = (page, state) =>
  page.locator(`#orders li:first-child .order[data-state="${state}"]`).waitFor(PATIENT);

async function buyTwice(page) {
  await buy(page, 'Decaf, 500 g');
  await newest(page, 'confirmed');
  await page.getByRole('radio', { name: 'Declined' }).check();
  await buy(page, 'Filter Roast, 500 g');
  await newest(page, 'cancelled');
}

// One after another, the process that serves this page; resolves when the line about it is there.
async function kill(page, nth) {
  await waitFor('a kill', async () => {
    await page.getByRole('button', { name: 'Kill this hub' }).click();
    return page.locator('#outages li').nth(nth).waitFor({ timeout: 3000 }).then(() => true, () => false);
  }, { timeout: 30000 });
  await page.getByText(/^Killed process/).waitFor(PATIENT);
}

async function withEverything(demo) {
  for (const [width, viewport] of Object.entries(WIDTHS)) {
    for (const colorScheme of ['light', 'dark']) {
      const name = (what) => `${what}-${colorScheme}-${width}`;
      const page = await open(demo.url, { colorScheme, viewport });
      await waitForState(page, 'connected');
      await waitFor('the ledger', async () => await number(page, '#ledger-received') > 0);
      await snap(page, name('guest'));
      await comeIn(page, 'Ann');
      await buyTwice(page);
      await page.locator('#load-rate').fill('2000');
      await waitFor('the load', async () => await number(page, '#load-received') > 6000, { timeout: 15000 });
      await page.getByText('The chart as a table').click();
      await snap(page, name('busy'));
      await page.locator('#load-rate').fill('0');
      await page.context().setOffline(true);
      await waitForState(page, 'reconnecting');
      await page.locator('#state-detail', { hasText: /in \d+ ms/ }).waitFor(PATIENT);
      await snap(page, name('reconnecting'));
      await page.context().setOffline(false);
      await page.locator('#outages li').waitFor(PATIENT);
      await snap(page, name('recovered'));
      await page.context().close();
    }
  }
}

async function withoutServices(redis) {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'wirehub-pictures-'));
  demoFiles(directory, redis.port);
  const demo = { enabled: true, dir: directory };
  const hub = await Hub.start({ demo }, { redis });
  const closed = await Hub.start({ demo, client: { allow_anonymous_connect_without_token: false } }, { redis });
  closers.push(() => fs.rmSync(directory, { recursive: true }), () => hub.close(), () => closed.close());
  for (const [width, viewport] of Object.entries(WIDTHS)) {
    for (const colorScheme of ['light', 'dark']) {
      const name = (what) => `${what}-${colorScheme}-${width}`;
      const page = await open(hub.url, { colorScheme, viewport });
      await waitForState(page, 'connected');
      await page.getByText('This hub runs without the order service.').waitFor();
      await page.getByRole('button', { name: 'As Ann' }).click();
      await page.locator('#login-problem:visible').waitFor();
      await snap(page, name('without-services'));
      await page.context().close();
      const refused = await open(closed.url, { colorScheme, viewport });
      await waitForState(refused, 'disconnected');
      await snap(refused, name('refused'));
      await refused.context().close();
      const context = await browser.newContext({ colorScheme, viewport });
      const broken = await context.newPage();
      await broken.route('**/uplot.js', (route) => route.abort());
      await broken.goto(`${hub.url}/`);
      await waitForState(broken, 'broken');
      await snap(broken, name('broken'));
      await context.close();
    }
  }
}

// A day at the counter: orders, two kills, and the ledger that went on.
async function forReadme(demo) {
  const page = await open(demo.url, { colorScheme: 'light', viewport: { width: 1280, height: 860 } });
  await waitForState(page, 'connected');
  const other = await open(demo.url);
  await comeIn(other, 'Bob');
  await comeIn(page, 'Ann');
  await waitFor('a minute of the ledger', async () => await number(page, '#ledger-received') > 2000,
    { timeout: 90000 });
  await kill(page, 0);
  await kill(page, 1);
  await buyTwice(page);
  await page.mouse.move(0, 0);
  await page.evaluate(() => scrollTo(0, 0));
  const picture = async (name) => {
    await page.screenshot({ path: path.join(FOLDER, `${name}.png`), animations: 'disabled' });
    await page.screenshot({ path: path.join(README, `${name}.jpg`), type: 'jpeg', quality: 88, animations: 'disabled' });
  };
  console.log(await text(page, '#ledger'));
  await picture('ledger');
  await page.evaluate(() => document.getElementById('shop').parentElement.scrollIntoView());
  await page.evaluate(() => scrollBy(0, -20));
  await picture('orders');
}

fs.mkdirSync(FOLDER, { recursive: true });
const redis = await Redis.start();
closers.push(() => redis.close());
try {
  const demo = await startDemo();
  closers.push(() => demo.close());
  if (values.readme) {
    await forReadme(demo);
  } else {
    await withEverything(demo);
    await withoutServices(redis);
  }
} finally {
  for (const close of closers.reverse()) await close();
}
