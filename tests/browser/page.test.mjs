// The page against a real hub and a real Redis.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

import { waitFor } from '../support/harness.mjs';
import { rows, screenshot, text, useBrowser, violations, waitForState, waitForText }
  from './support.mjs';

const TICKER = 'market:ticker';
const event = (symbol, price) => JSON.stringify({ symbol, price });

describe('the page', () => {
  const context = useBrowser();

  test('shows what redis-cli publishes, newest first, and complains about nothing', async () => {
    const hub = await context.startHub();
    const page = await context.openConnected(hub);
    assert.equal(page.url(), `${hub.url}/demo/`);
    assert.match(await text(page, '#client-id'), /^[0-9a-f-]{36}$/);
    assert.match(await text(page, '#round-trip'), /^\d+(\.\d)? ms$/);
    assert.equal(await text(page, '#encoding'), 'JSON');
    assert.equal(await context.redis.publish(TICKER, event('ACME', 42)), 1);
    await waitForText(page, '#total', '1');
    await context.redis.publish(TICKER, '{"deep":{"list":[1,"<b>"]}}');
    await waitForText(page, '#total', '2');
    const [newest, oldest] = await rows(page);
    assert.equal(newest, '{"deep":{"list":[1,"<b>"]}}');
    assert.match(oldest, /^symbol ACME\s+price 42$/);
    assert.deepEqual(page.problems, []);
  });

  test('tells a command that works', async () => {
    const hub = await context.startHub();
    const page = await context.openConnected(hub);
    const command = await text(page, '#command');
    const { stdout } = await promisify(execFile)('sh', ['-c', command]);
    assert.equal(stdout, '1\n');
    await waitForText(page, '#total', '1');
    assert.match((await rows(page))[0], /^symbol ACME\s+price 42$/);
  });

  test('reconnects after its worker was killed, and says so', async () => {
    const hub = await context.startHub();
    const page = await context.openConnected(hub);
    const before = await text(page, '#client-id');
    await page.evaluate(() => {
      globalThis.told = [];
      const node = document.getElementById('status');
      const note = () => globalThis.told.push(
        `${node.dataset.state}: ${node.querySelector('#state-name').textContent}: ` +
        node.querySelector('#state-detail').textContent);
      new MutationObserver(note).observe(node,
        { attributes: true, characterData: true, childList: true, subtree: true });
    });
    hub.killWorker();
    await page.waitForFunction((id) => {
      const shown = document.getElementById('client-id').textContent;
      return shown.length === 36 && shown !== id;
    }, before);
    await waitForState(page, 'connected');
    const told = await page.evaluate(() => globalThis.told);
    assert(told.some((line) => /^reconnecting: Reconnecting: Trying again in \d+ ms/.test(line) &&
      line.includes('transport closed')), told.join('\n'));
    await context.redis.waitSubscribers(TICKER, 1);
    await context.redis.publish(TICKER, event('AFTER', 1));
    await waitForText(page, '#total', '1');
  });

  test('stays connected when a payload is not JSON', async () => {
    const hub = await context.startHub();
    const page = await context.openConnected(hub);
    for (const payload of ['{"broken":', 'plain text', Buffer.from([0xff, 0x00, 0xc1])]) {
      assert.equal(await context.redis.publish(TICKER, payload), 1);
    }
    await context.redis.publish(TICKER, event('ACME', 42));
    await waitForText(page, '#total', '1');
    assert.equal(await page.locator('#status').getAttribute('data-state'), 'connected');
    assert.deepEqual(page.problems, []);
    const metrics = await hub.metrics();
    assert.equal(metrics['wirehub_publications_skipped_total{reason="encoding"}'], 3);
  });

  test('sends to the room where clients may publish, and sees it come back', async () => {
    const hub = await context.startHub();
    const [page, other] = [await context.openConnected(hub), await context.openConnected(hub)];
    await page.getByRole('button', { name: 'Send one from here' }).click();
    await waitForText(page, '#total', '1');
    await waitForText(other, '#total', '1');
    assert.match((await rows(page))[0], /there and back in \d+\.\d ms/);
    assert.match((await rows(other))[0], /from another page/);
  });

  test('offers no sending where there is no such room', async () => {
    const hub = await context.startHub({
      channel: {
        namespaces: [{
          name: 'market', allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true,
        }],
      },
    });
    const page = await context.openConnected(hub);
    assert(await page.locator('#send-row').isHidden());
  });

  test('says why it is refused', async () => {
    const closed = await context.startHub({
      client: { allow_anonymous_connect_without_token: false },
    });
    const page = await context.open(closed);
    await waitForState(page, 'disconnected');
    assert.equal(await text(page, '#state-name'), 'Disconnected');
    assert.match(await text(page, '#state-detail'), /bad request, code 3501\. .*anonymous/);
    assert(await page.getByRole('button', { name: 'Connect again' }).isVisible());
    await screenshot(page, 'disconnected');
    assert.deepEqual(await violations(page), []);

    const empty = await context.startHub({ channel: { namespaces: [] } });
    const other = await context.open(empty);
    await waitForState(other, 'connected');
    await other.locator('#events-problem:visible').waitFor();
    assert.match(await text(other, '#events-problem'), /no such namespace \(code 102\)/);
    assert.deepEqual(await violations(other), []);
  });

  test('says so when the client library is not there', async () => {
    const hub = await context.startHub({}, (directory) => {
      fs.rmSync(path.join(directory, 'centrifuge.js'));
    });
    const page = await context.open(hub);
    await waitForState(page, 'broken');
    assert.match(await text(page, '#state-detail'), /centrifuge\.js is not there/);
  });

  test('pauses, clears and copies by keyboard', async () => {
    const hub = await context.startHub();
    const page = await context.openConnected(hub,
      { permissions: ['clipboard-read', 'clipboard-write'] });
    await context.redis.publish(TICKER, '1');
    await waitForText(page, '#total', '1');
    const pause = page.getByRole('button', { name: 'Pause' });
    await pause.press('Space');
    assert.equal(await pause.getAttribute('aria-pressed'), 'true');
    await context.redis.publish(TICKER, '2');
    await waitForText(page, '#total', '2');
    assert.deepEqual(await rows(page), ['1']);
    await pause.press('Space');
    await waitFor('the held row', async () => (await rows(page)).length === 2);
    await page.getByRole('button', { name: 'Clear' }).press('Enter');
    assert.deepEqual(await rows(page), []);
    await page.getByRole('button', { name: 'Copy the command' }).press('Enter');
    await page.getByRole('button', { name: 'Copied the command' }).waitFor();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()),
      await text(page, '#command'));
  });

  test('remembers the chosen colours', async () => {
    const hub = await context.startHub();
    const page = await context.openConnected(hub, { colorScheme: 'light' });
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await ground();
    await page.getByRole('radio', { name: 'Dark' }).press('Space');
    const dark = await ground();
    assert.notEqual(dark, light);
    await page.reload();
    assert.equal(await ground(), dark);
    assert(await page.getByRole('radio', { name: 'Dark' }).isChecked());
  });

  test('keeps still for those who asked for less motion', async () => {
    const hub = await context.startHub();
    const page = await context.open(hub, { reducedMotion: 'reduce' });
    const moving = await page.evaluate(() => {
      document.getElementById('status').dataset.state = 'reconnecting';
      return document.getAnimations().length;
    });
    assert.equal(moving, 0);
  });
});

describe('looks', () => {
  const context = useBrowser();
  const PAYLOADS = [event('ACME', 42), event('GLOBEX', 17.25), '[1,2,{"nested":[true,null]}]',
    '{"symbol":"INITECH","volume":1200,"note":"a longer text that has to wrap on a phone"}',
    `{"long":"${'x'.repeat(300)}"}`, '"text"'];

  for (const colorScheme of ['light', 'dark']) {
    test(`good in ${colorScheme} at 320, 768 and 1440 pixels, to axe-core too`, async () => {
      const hub = await context.startHub();
      for (const [width, height] of [[320, 2300], [768, 1600], [1440, 1100]]) {
        // High enough to show all of the page, for rows out of view are not drawn.
        const page = await context.openConnected(hub,
          { colorScheme, viewport: { width, height } });
        assert.deepEqual(await violations(page), [], `empty at ${width}`);
        await screenshot(page, `empty-${colorScheme}-${width}`);
        for (const payload of PAYLOADS) await context.redis.publish(TICKER, payload);
        await page.locator('#send').click();
        await waitForText(page, '#total', String(PAYLOADS.length + 1));
        await page.mouse.move(0, 0);
        assert.deepEqual(await violations(page), [], `with events at ${width}`);
        await screenshot(page, `events-${colorScheme}-${width}`);
        const overflow = await page.evaluate(() =>
          document.documentElement.scrollWidth - document.documentElement.clientWidth);
        assert.equal(overflow, 0, `scrolls sideways at ${width}`);
        await page.close();
      }
    });
  }
});

describe('a flood', () => {
  const context = useBrowser();
  const SECONDS = 4;
  const PER_SECOND = 5000;

  // Over a connection of its own that waits for no answers; redis-cli would be slower.
  const flood = async (port) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.resume();
    const begin = Date.now();
    let published = 0;
    while (published < SECONDS * PER_SECOND) {
      const due = Math.min(SECONDS, (Date.now() - begin) / 1000) * PER_SECOND;
      const commands = [];
      for (; published < due; published += 1) {
        const payload = event('FLOOD', published).replaceAll('"', '\\"');
        commands.push(`PUBLISH wh:ch:${TICKER} "${payload}"\r\n`);
      }
      socket.write(commands.join(''));
      await sleep(20);
    }
    socket.end();
    return published;
  };

  test('of 5,000 events a second is counted to the last and freezes nothing', async (t) => {
    const hub = await context.startHub();
    const page = await context.openConnected(hub);
    await page.evaluate(() => {
      globalThis.longest = 0;
      globalThis.frames = 0;
      new PerformanceObserver((entries) => {
        for (const { duration } of entries.getEntries()) {
          globalThis.longest = Math.max(globalThis.longest, duration);
        }
      }).observe({ entryTypes: ['longtask'] });
      const onFrame = () => {
        globalThis.frames += 1;
        requestAnimationFrame(onFrame);
      };
      requestAnimationFrame(onFrame);
      globalThis.reactions = []; // from the press of a button to its handler
      document.getElementById('pause').addEventListener('click', (click) =>
        globalThis.reactions.push(performance.now() - click.timeStamp));
    });
    const { x, y, width, height } = await page.locator('#pause').boundingBox();
    const flooding = flood(context.redis.port);
    await waitFor('the flood', async () => await text(page, '#total') !== '0');
    for (let press = 0; press < 4; press += 1) {
      await page.mouse.click(x + width / 2, y + height / 2);
      await sleep(250);
    }
    const published = await flooding;
    await waitForText(page, '#total', published.toLocaleString('en'), { timeout: 10000 });
    const { longest, frames, reactions, count } = await page.evaluate(() => ({
      longest: globalThis.longest,
      frames: globalThis.frames,
      reactions: globalThis.reactions,
      count: document.querySelectorAll('#list li').length,
    }));
    assert.equal(reactions.length, 4, 'each press met the button');
    assert.equal(count, 200);
    await waitFor('the last event', async () =>
      (await rows(page))[0].endsWith(`price ${published - 1}`));
    // Generous: the machine has other things to do.  A list that is drawn per event needs seconds.
    t.diagnostic(`longest task ${longest} ms, ${frames} frames, ` +
      `reactions ${reactions.map(Math.round)} ms`);
    assert(longest < 400, `the page did nothing else for ${Math.round(longest)} ms`);
    assert(Math.max(...reactions) < 500, `a button took ${reactions.map(Math.round)} ms`);
    assert(frames > 5 * SECONDS, `only ${frames} frames`);
    assert.equal(await page.locator('#status').getAttribute('data-state'), 'connected');
    assert.deepEqual(page.problems, []);
    await screenshot(page, 'flood');
  });
});
