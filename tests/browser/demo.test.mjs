// The page with everything behind it.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { waitFor } from '../support/harness.mjs';
import { comeIn, number, screenshot, sidewaysScroll, text, useDemo, violations, waitForState }
  from './support.mjs';

const PATIENT = { timeout: 15000 };

const buy = (page, name) => page.getByRole('button', { name: `Buy ${name}` }).click();
const newest = (page) => page.locator('#orders .order').first();
const stateOfNewest = (page, state) =>
  page.locator(`#orders li:first-child .order[data-state="${state}"]`).waitFor(PATIENT);
const steps = (page) => newest(page).locator('.step-facts code:first-child').allInnerTexts();
const kill = (page, signal) => page.getByRole('radio', { name: signal }).check()
  .then(() => page.getByRole('button', { name: 'Kill this hub' }).click());
const outage = (page) => page.locator('#outages li').first();

async function setLoad(page, rate) {
  await page.locator('#load-rate').fill(String(rate));
}

describe('somebody on the page', () => {
  const demo = useDemo();

  test('registers, buys, and sees the order confirmed step by step, in one trace', async () => {
    const page = await demo.open();
    await page.getByText('Use an account of your own').click();
    await page.getByRole('radio', { name: 'Register' }).check();
    await page.getByLabel('Name').fill('Cleo');
    await page.getByLabel('E-mail').fill('cleo@example.com');
    await page.getByLabel('Password').fill('a long password');
    await page.getByRole('button', { name: 'Create the account' }).click();
    await page.locator('#me').waitFor();
    assert.match(await text(page, '#me'), /Cleo/);
    await buy(page, 'Decaf, 500 g');
    await stateOfNewest(page, 'confirmed');
    await newest(page).getByText('payment.captured.v1').waitFor(PATIENT);
    assert.deepEqual((await steps(page)).sort(), ['order.confirmed.v1', 'order.created.v1', 'orders.v1.create',
      'payment.authorized.v1', 'payment.captured.v1']);
    const traces = await newest(page).locator('.trace').allTextContents();
    assert.equal(traces.length, 4);
    assert.equal(new Set(traces).size, 1);
    for (const time of await newest(page).locator('.step-time').allInnerTexts()) {
      assert.match(time, /^\+[\d.]+ m?s$/);
    }
    assert.match((await page.locator('#ticker li').first().innerText()), /Someone bought Decaf, 500 g/);
    assert.deepEqual(page.problems, []);
    assert.deepEqual([...page.hosts], [new URL(demo.url).host]);
  });

  test('sees a declined card undone', async () => {
    const page = await demo.openAs('Ann');
    await page.getByRole('radio', { name: 'Declined' }).check();
    await buy(page, 'Filter Roast, 500 g');
    await stateOfNewest(page, 'cancelled');
    const shown = await newest(page).innerText();
    assert.match(shown, /Payment declined\s+\+[\d.]+ m?s\s+Card declined\./);
    assert.match(shown, /Compensated: the goods are back in stock, for the payment was declined\./);
    assert.deepEqual(page.problems, []);
  });

  test('is told that an address or password is wrong, and stays a guest', async () => {
    const page = await demo.open();
    await page.getByText('Use an account of your own').click();
    await page.getByLabel('E-mail').fill('nobody@example.com');
    await page.getByLabel('Password').fill('not the password');
    await page.getByRole('button', { name: 'Log in', exact: true }).click();
    await page.getByText('That address or password is wrong.').waitFor();
    assert(await page.locator('#me').isHidden());
    assert.deepEqual(await violations(page), []);
  });

  test('must come in before buying, killing or loading', async () => {
    const page = await demo.openAs(null);
    await page.locator('#kill-button').waitFor();
    for (const press of [() => buy(page, 'Decaf, 500 g'), () => kill(page, 'SIGKILL')]) {
      await press();
      assert.equal(await page.evaluate(() => document.activeElement.textContent), 'As Ann');
    }
    await setLoad(page, 1000);
    assert.equal(await text(page, '#load-value'), 'off');
  });

  test('stays logged in over a reload, and a duplicated tab does not share the session', async () => {
    const page = await demo.openAs('Ann');
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
    await page.reload();
    await waitForState(page, 'connected');
    assert.match(await text(page, '#me-name'), /Ann/);
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.locator('#login').waitFor();
    await waitForState(page, 'connected');
    await page.reload();
    await waitForState(page, 'connected');
    assert(await page.locator('#login').isVisible());
  });

  test('sees another come, buy and go', async () => {
    const ann = await demo.openAs('Ann');
    const bob = await demo.openAs('Bob');
    await ann.getByText('You and Bob are here.').waitFor();
    await bob.getByText('You and Ann are here.').waitFor();
    const before = await text(ann, '#ticker-total');
    await buy(bob, 'Ceramic Dripper, Size 2');
    await stateOfNewest(bob, 'confirmed');
    await ann.waitForFunction((total) =>
      document.getElementById('ticker-total').textContent !== total, before);
    assert.match(await ann.locator('#ticker li').first().innerText(), /Someone bought Ceramic Dripper/);
    assert.equal(await ann.locator('#orders .order').count(), 0);
    await bob.context().close();
    await ann.getByText('You are here.').waitFor(PATIENT);
  });

  test('takes the identity of another and keeps the ledger going', async () => {
    const page = await demo.openAs('Ann');
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.locator('#login').waitFor();
    await comeIn(page, 'Bob');
    const before = await number(page, '#ledger-received');
    await waitFor('more of the ledger', async () => await number(page, '#ledger-received') > before + 20);
    assert.equal(await number(page, '#ledger-gaps'), 0);
    assert.equal(await number(page, '#ledger-duplicates'), 0);
    assert(await page.locator('#outages').isHidden());
  });

  for (const signal of ['SIGKILL', 'SIGTERM']) {
    test(`kills its hub with ${signal} and loses nothing`, async () => {
      const page = await demo.openAs('Ann');
      await page.evaluate(() => {
        globalThis.told = [];
        const status = document.getElementById('status');
        new MutationObserver(() => globalThis.told.push(
          `${status.dataset.state}: ${document.getElementById('state-detail').textContent}`))
          .observe(status, { attributes: true, characterData: true, childList: true, subtree: true });
      });
      await page.locator('#kill-worker:not(:empty)').waitFor();
      const worker = await text(page, '#kill-worker');
      await waitFor('the kill to be allowed again', async () => {
        await kill(page, signal); // which disables the button until the hub has answered
        await page.waitForFunction(() => !document.getElementById('kill-button').disabled);
        return /^Process \d+ answered|Killed process/.test(await text(page, '#kill-note'));
      }, { timeout: 15000, interval: 500 });
      await outage(page).waitFor(PATIENT);
      assert.match(await outage(page).innerText(), /^Recovered \d+ messages?, 0 lost, 0 duplicated\./);
      assert.equal(await number(page, '#ledger-gaps'), 0);
      assert.equal(await number(page, '#ledger-duplicates'), 0);
      await waitForState(page, 'connected');
      await page.waitForFunction((old) =>
        document.getElementById('kill-worker').textContent.split(',')[0] !== old.split(',')[0], worker);
      const told = await page.evaluate(() => globalThis.told);
      assert(told.some((line) => /^reconnecting: in \d+ ms \(.*code \d+\)/.test(line)), told.join('\n'));
      assert.deepEqual(page.problems, []);
    });
  }

  test('goes offline and comes back by itself', async () => {
    const page = await demo.openAs('Ann');
    await page.locator('#counters-list').waitFor();
    await page.locator('#kill').waitFor();
    const restarts = await number(page, '#hub-restarts');
    await page.context().setOffline(true);
    await waitForState(page, 'reconnecting');
    assert(await page.locator('#offline').isVisible());
    assert.deepEqual(await violations(page), []);
    assert.match(await text(page, '#ledger-verdict'), /^Away\./);
    assert.match(await text(page, '#map'), /reconnecting.*out of reach.*Orders\s+not known/s);
    await page.locator('#kill-button').press('Enter');
    assert.match(await text(page, '#kill-note'), /nobody to kill/);
    await page.context().setOffline(false);
    await waitForState(page, 'connected');
    assert(await page.locator('#offline').isHidden());
    await page.waitForFunction(() => /Orders\s+up/.test(document.getElementById('map').innerText));
    assert.equal(await number(page, '#hub-restarts'), restarts);
    await outage(page).waitFor();
    assert.match(await outage(page).innerText(), /0 lost, 0 duplicated/);
  });

  test('shows who answers, and gets a trace shown where somebody said what shows them', async () => {
    const page = await demo.openAs(null);
    await page.context().route('**/demo/setup.js', (route) => route.fulfill({
      contentType: 'text/javascript', body: "export const setup = { trace_url: 'http://127.0.0.1:9/trace/{trace}' };",
    }));
    await page.reload();
    await comeIn(page, 'Ann');
    await page.waitForFunction(() => /Demo\s+up/.test(document.getElementById('map').innerText));
    assert.match(await text(page, '#map'), new RegExp(['This page', 'connected', 'JSON', 'Hub', 'worker \\d of 2 serves you',
      '\\d+ connections?', 'Redis', 'carries events', '\\d+ a second', 'Users', 'up', 'Orders', 'up', 'Payments', 'up',
      'Demo', 'up'].join('\\s+(?:.*?\\s+)?')));
    assert.equal(await page.locator('#map .part:not([data-tone="good"])').count(), 0);
    await buy(page, 'Decaf, 500 g');
    await stateOfNewest(page, 'confirmed');
    const link = newest(page).locator('.order-trace a');
    assert.equal(await link.getAttribute('href'), `http://127.0.0.1:9/trace/${await link.innerText()}`);
    assert.match(await link.innerText(), /^[0-9a-f]{32}$/);
    assert.deepEqual(await violations(page), []);
  });

  // Headless browsers hide no page: what the page is told and that it gets no frames is imitated.
  test('draws nothing while it is hidden, counts on, and shows all of it when it is seen again', async () => {
    const page = await demo.open();
    const seen = { publications: 0 };
    page.on('websocket', (socket) => {
      socket.on('framereceived', ({ payload }) => { seen.publications += String(payload).split('"pub"').length - 1; });
    });
    await page.addInitScript(() => {
      const frame = requestAnimationFrame.bind(globalThis);
      const { send } = WebSocket.prototype;
      globalThis.asked = { true: 0, false: 0 }; // of the worker, when hidden and when not
      WebSocket.prototype.send = function count(data) {
        if (String(data).includes('hub.v1.info')) globalThis.asked[isHidden] += 1;
        return send.call(this, data);
      };
      let isHidden = false;
      let waiting = [];
      Object.defineProperty(document, 'hidden', { get: () => isHidden });
      Object.defineProperty(document, 'visibilityState', { get: () => (isHidden ? 'hidden' : 'visible') });
      globalThis.requestAnimationFrame = (step) => (isHidden ? waiting.push(step) : frame(step));
      globalThis.hide = (value) => {
        isHidden = value;
        document.dispatchEvent(new Event('visibilitychange'));
        if (!isHidden) waiting.splice(0).forEach((step) => frame(step));
        waiting = [];
      };
    });
    await page.reload();
    await waitForState(page, 'connected');
    await page.locator('#counters-list').waitFor();
    const figures = () => page.evaluate(() => ['ledger-received', 'ledger-published', 'hub-total', 'p50', 'frames-in',
      'map'].map((id) => document.getElementById(id).textContent));
    await page.evaluate(() => globalThis.hide(true));
    const [before, publications] = [await figures(), seen.publications];
    const received = await number(page, '#ledger-received');
    await waitFor('much that is published', () => seen.publications > publications + 100, PATIENT);
    assert.deepEqual(await figures(), before);
    const asked = () => page.evaluate(() => globalThis.asked);
    assert.equal((await asked()).true, 0);
    const info = (await asked()).false;
    await page.evaluate(() => globalThis.hide(false));
    await page.waitForFunction((old) => Number(document.getElementById('ledger-received').textContent.replaceAll(',', '')) >=
      old + 95, received);
    await waitFor('the worker to be asked', async () => (await asked()).false > info, { timeout: 2000 });
    assert.equal(await number(page, '#ledger-gaps'), 0);
    assert.equal(await number(page, '#ledger-duplicates'), 0);
    assert.deepEqual(page.problems, []);
  });

  test('takes 5,000 messages a second for 20 seconds, counts each and stays alive', async (t) => {
    const page = await demo.openAs('Ann');
    await page.evaluate(() => {
      globalThis.tasks = [];
      new PerformanceObserver((entries) => globalThis.tasks.push(...entries.getEntries().map(({ duration }) => duration)))
        .observe({ entryTypes: ['longtask'] });
    });
    const status = async () => (await (await fetch(`${demo.url}/rpc/demo.v1.status`,
      { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{}' })).json()).load;
    const before = (await status()).published;
    await setLoad(page, 5000);
    await waitFor('the load', async () => (await status()).rate === 5000);
    await sleep(20000); // the load's duration, not a wait for something
    await setLoad(page, 0);
    await waitFor('the end of the load', async () => (await status()).rate === 0);
    const published = (await status()).published - before;
    await waitFor('the last message', async () => await number(page, '#load-received') === published, PATIENT);
    assert(published > 50000, `only ${published} were published`);
    assert.equal(await text(page, '#load-missed'), '');
    assert.equal(await number(page, '#ledger-gaps'), 0);
    assert.equal(await page.locator('#status').getAttribute('data-state'), 'connected');
    const tasks = await page.evaluate(() => globalThis.tasks);
    t.diagnostic(`${published} messages; ${tasks.length} long tasks, ${Math.round(tasks.reduce((a, b) => a + b, 0))} ms ` +
      `together, the longest ${Math.round(Math.max(0, ...tasks))} ms; p50 ${await text(page, '#p50')}, p99 ${await text(page, '#p99')}`);
    await screenshot(page, 'load');
    assert.deepEqual(page.problems, []);
  });
});

describe('a session of short tokens', () => {
  const demo = useDemo('--access-ttl', '3s');

  test('is refreshed without a blink', async () => {
    const page = await demo.openAs('Ann');
    const states = await page.evaluateHandle(() => {
      const seen = [];
      const status = document.getElementById('status');
      new MutationObserver(() => seen.push(status.dataset.state)).observe(status, { attributes: true });
      return seen;
    });
    let refreshes = 0;
    page.on('response', (response) => {
      if (response.url().endsWith('/auth/refresh') && response.ok()) refreshes += 1;
    });
    await waitFor('three refreshes', () => refreshes >= 3, { timeout: 30000 });
    assert.deepEqual(await states.jsonValue(), []);
    assert.equal(await number(page, '#ledger-gaps'), 0);
    assert(await page.locator('#outages').isHidden());
    await buy(page, 'Decaf, 500 g');
    await stateOfNewest(page, 'confirmed');
    assert.deepEqual(page.problems, []);
  });
});

describe('an outage that is longer than what the hub gives back', () => {
  const demo = useDemo('--recovery-limit', '5');

  test('is told honestly', async () => {
    const page = await demo.openAs('Ann');
    await page.context().setOffline(true);
    await waitForState(page, 'reconnecting');
    await sleep(500); // 25 messages: the length of the outage is what is tested
    await page.context().setOffline(false);
    await outage(page).waitFor(PATIENT);
    assert.match(await outage(page).innerText(), /^History was exceeded: \d+ messages lost\. .*recovered: false/);
    // In one moment: the ledger goes on.
    const [published, received, gaps] = await page.evaluate(() => ['published', 'received', 'gaps'].map((name) =>
      Number(document.getElementById(`ledger-${name}`).textContent.replaceAll(',', ''))));
    assert(gaps > 5, `${gaps}`);
    assert.equal(published, received + gaps);
    assert.match(await text(page, '#ledger-verdict'), /had left the history/);
    assert.deepEqual(await violations(page), []);
    await screenshot(page, 'history-exceeded');
  });
});

describe('looks', () => {
  const demo = useDemo();

  for (const colorScheme of ['light', 'dark']) {
    test(`good in ${colorScheme} at 320, 768 and 1440 pixels, to axe-core too`, async () => {
      for (const [width, height] of [[320, 800], [768, 1024], [1440, 900]]) {
        const page = await demo.openAs(null, { colorScheme, viewport: { width, height } });
        assert.deepEqual(await violations(page), [], `as a guest at ${width}`);
        assert.equal(await sidewaysScroll(page), 0, `scrolls sideways at ${width}`);
        await screenshot(page, `guest-${colorScheme}-${width}`);
        await comeIn(page, 'Bob');
        await buy(page, 'Decaf, 500 g');
        await stateOfNewest(page, 'confirmed');
        await page.getByRole('radio', { name: 'Declined' }).check();
        await buy(page, 'Filter Roast, 500 g');
        await stateOfNewest(page, 'cancelled');
        await page.getByText('The chart as a table').click();
        await page.mouse.move(0, 0);
        assert.deepEqual(await violations(page), [], `with orders at ${width}`);
        assert.equal(await sidewaysScroll(page), 0, `scrolls sideways with orders at ${width}`);
        await screenshot(page, `orders-${colorScheme}-${width}`);
        await page.context().close();
      }
    });
  }
});
