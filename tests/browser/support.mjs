// A browser, pages in it, and hubs that serve the page.

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { after, afterEach, before } from 'node:test';

import { chromium } from 'playwright-core';

import { Hub, ROOT, Redis } from '../support/harness.mjs';

const SCREENSHOTS = path.join(ROOT, 'build/screenshots');
const axeSource = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'),
  'utf8');

const ARGUMENTS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync'];

// One Redis and one browser for a suite; hubs and pages as a test asks for them, closed with it.
export function useBrowser() {
  let closers = [];
  const context = { redis: null };
  let browser = null;

  context.startHub = async (config = {}, change = () => {}) => {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'wirehub-page-'));
    demoFiles(directory, context.redis.port);
    change(directory);
    const hub = await Hub.start({ demo: { enabled: true, dir: directory }, ...config },
      { redis: context.redis });
    closers.push(async () => {
      await hub.close();
      fs.rmSync(directory, { recursive: true });
    });
    return hub;
  };

  // A page in a profile of its own.  `page.problems` has what the console and the page complained
  // about: refused scripts and styles, failed requests, exceptions.
  context.open = async (hub, options = {}) => {
    const profile = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
    closers.push(() => profile.close());
    const page = await profile.newPage();
    page.problems = [];
    page.on('console', (message) => {
      if (message.type() === 'error') page.problems.push(message.text());
    });
    page.on('pageerror', (error) => page.problems.push(String(error)));
    await page.goto(`${hub.url}/`);
    return page;
  };

  // Connected, and subscribed at Redis too.
  context.openConnected = async (hub, options) => {
    const page = await context.open(hub, options);
    await waitForState(page, 'connected');
    await page.getByText('Listening', { exact: true }).waitFor();
    return page;
  };

  before(async () => {
    context.redis = await Redis.start();
    browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ARGUMENTS });
  });
  afterEach(async () => {
    const close = closers.reverse();
    closers = [];
    for (const step of close) await step();
  });
  after(async () => {
    await browser.close();
    await context.redis.close();
  });
  return context;
}

// The page as ./dev up makes it, by the same function.
function demoFiles(directory, redisPort) {
  execFileSync('sh', ['-c', '. tools/common.sh; demo_files "$@"', 'sh', directory,
    String(redisPort)], { cwd: ROOT });
}

export function waitForState(page, state) {
  return page.locator(`#status[data-state="${state}"]`).waitFor({ timeout: 10000 });
}

export function text(page, selector) {
  return page.locator(selector).innerText();
}

export function rows(page) {
  return page.locator('#list li .data').allInnerTexts();
}

export function waitForText(page, selector, wanted, options) {
  return page.waitForFunction(([where, what]) =>
    document.querySelector(where).textContent === what, [selector, wanted], options);
}

export async function screenshot(page, name) {
  await page.screenshot({ path: path.join(SCREENSHOTS, `${name}.png`), fullPage: true });
}

// What axe-core finds, as short lines.  The page's policy forbids foreign scripts, the debugger's
// way in is not under it.
export async function violations(page) {
  await page.evaluate(axeSource);
  const { violations: found } = await page.evaluate(() => globalThis.axe.run());
  return found.flatMap((rule) => rule.nodes.map((node) =>
    `${rule.id}: ${node.target.join(' ')}: ${node.failureSummary}`));
}
