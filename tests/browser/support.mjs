// A browser, pages in it, and what serves the page: a hub alone, or everything.

import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { after, afterEach, before } from 'node:test';

import { chromium } from 'playwright-core';

import { Hub, ROOT, Redis, within } from '../support/harness.mjs';

const SCREENSHOTS = path.join(ROOT, 'build/screenshots');
const axeSource = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'),
  'utf8');

export const ARGUMENTS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync'];
// What the browser says of its own accord when a connection goes: asked for, in these tests.
const CONNECTION_LOST = /WebSocket connection to .* failed|net::ERR_(CONNECTION|INTERNET|SOCKET)/;

// One browser for a suite, and pages as a test asks for them.
function useChromium() {
  const context = {};
  let closers = [];
  let browser = null;

  context.cleanUp = (step) => closers.push(step);
  // A page in a profile of its own.  `page.problems` has what the console and the page complained
  // about: refused scripts and styles, failed requests, exceptions; `page.hosts` who was asked for anything.
  context.openAt = async (url, options = {}) => {
    const profile = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
    closers.push(() => profile.close());
    const page = await profile.newPage();
    page.problems = [];
    page.hosts = new Set();
    page.on('console', (message) => {
      const isExpected = CONNECTION_LOST.test(message.text());
      if (message.type() === 'error' && !isExpected) page.problems.push(message.text());
    });
    page.on('pageerror', (error) => page.problems.push(String(error.stack)));
    page.on('request', (request) => page.hosts.add(new URL(request.url()).host));
    page.on('websocket', (socket) => page.hosts.add(new URL(socket.url()).host));
    await page.goto(`${url}/`);
    return page;
  };
  before(async () => {
    browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ARGUMENTS });
  });
  afterEach(async () => {
    const close = closers.reverse();
    closers = [];
    for (const step of close) await step();
  });
  after(() => browser.close());
  return context;
}

// One Redis and one browser for a suite; hubs as a test asks for them, closed with it.
export function useBrowser() {
  const context = useChromium();
  context.redis = null;

  context.startHub = async (config = {}, change = () => {}) => {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'wirehub-page-'));
    demoFiles(directory, context.redis.port);
    change(directory);
    const hub = await Hub.start({ demo: { enabled: true, dir: directory }, ...config },
      { redis: context.redis });
    context.cleanUp(async () => {
      await hub.close();
      fs.rmSync(directory, { recursive: true });
    });
    return hub;
  };
  context.open = (hub, options) => context.openAt(hub.url, options);
  // With a session that the page finds in its storage.
  context.openWith = async (hub, session) => {
    const page = await context.open(hub);
    await page.evaluate((value) => addEventListener('pagehide', () =>
      sessionStorage.setItem('wirehub-session', JSON.stringify(value))), session);
    await page.reload();
    return page;
  };
  // Connected, and subscribed at Redis too.
  context.openConnected = async (hub, options) => {
    const page = await context.open(hub, options);
    await waitForState(page, 'connected');
    await page.getByText('Listening', { exact: true }).waitFor();
    return page;
  };

  before(async () => { context.redis = await Redis.start(); });
  after(() => context.redis.close());
  return context;
}

// Hub, services, demo service, Redis and PostgreSQL, with Ann and Bob registered: {url, redis_port, close}.
export async function startDemo(...options) {
  const child = spawn('/usr/bin/python3', [path.join(ROOT, 'tests/browser/demo_stack.py'), ...options],
    { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = new Promise((resolve) => { child.once('exit', resolve); });
  const lines = readline.createInterface({ input: child.stdout });
  const line = await within('the stack of the demo', Promise.race([
    new Promise((resolve) => { lines.once('line', resolve); }),
    exited.then((code) => { throw new Error(`the stack ended with ${code}`); })]), 60000);
  const demo = JSON.parse(line);
  for (const name of ['Ann', 'Bob']) {
    const body = { email: `${name.toLowerCase()}@example.com`, password: 'demo password', name };
    const answer = await fetch(`${demo.url}/auth/register`, {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`registering ${name}: ${await answer.text()}`);
  }
  return {
    ...demo,
    close() {
      child.stdin.end();
      return exited;
    },
  };
}

// The same and a browser, once for a suite.
export function useDemo(...options) {
  const context = useChromium();
  let demo = null;

  context.open = (pageOptions) => context.openAt(context.url, pageOptions);
  // Somebody who pressed a button of the log-in card; the ledger runs.
  context.openAs = async (name, pageOptions) => {
    const page = await context.open(pageOptions);
    await waitForState(page, 'connected');
    if (name) await comeIn(page, name);
    await page.waitForFunction(() =>
      Number(document.getElementById('ledger-received').textContent.replaceAll(',', '')) > 0);
    return page;
  };

  before(async () => {
    demo = await startDemo(...options);
    Object.assign(context, { url: demo.url, redisPort: demo.redis_port });
  });
  after(() => demo?.close());
  return context;
}

export async function comeIn(page, name) {
  await page.getByRole('button', { name: `As ${name}`, exact: true }).click();
  await page.locator('#me').waitFor();
  await page.locator('.person[data-you="true"]').waitFor();
}

// The page as ./dev up makes it, by the same function.
export function demoFiles(directory, redisPort) {
  execFileSync('sh', ['-c', '. tools/common.sh; demo_files "$@"', 'sh', directory,
    String(redisPort)], { cwd: ROOT });
}

export function waitForState(page, state) {
  return page.locator(`#status[data-state="${state}"]`).waitFor({ timeout: 10000 });
}

export function text(page, selector) {
  return page.locator(selector).innerText();
}

export async function number(page, selector) {
  return Number((await text(page, selector)).replaceAll(',', ''));
}

export function waitForText(page, selector, wanted, options) {
  return page.waitForFunction(([where, what]) =>
    document.querySelector(where).textContent === what, [selector, wanted], options);
}

export async function screenshot(page, name) {
  await page.screenshot({ path: path.join(SCREENSHOTS, `${name}.png`), fullPage: true });
}

// What axe-core finds, as short lines.  The page's policy forbids foreign scripts, the debugger's
// way in is not under it.  Colours on their way to others are waited for: what moves for ever is not.
export async function violations(page) {
  await page.evaluate(() => Promise.allSettled(document.getAnimations()
    .filter((animation) => Number.isFinite(animation.effect.getComputedTiming().endTime))
    .map((animation) => animation.finished)));
  await page.evaluate(axeSource);
  const { violations: found } = await page.evaluate(() => globalThis.axe.run());
  return found.flatMap((rule) => rule.nodes.map((node) =>
    `${rule.id}: ${node.target.join(' ')}: ${node.failureSummary}`));
}

export function sidewaysScroll(page) {
  return page.evaluate(() =>
    document.documentElement.scrollWidth - document.documentElement.clientWidth);
}
