// The page against a hub and a Redis and nothing else: its empty and its error states.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';

import { inSeconds, makeToken } from '../support/harness.mjs';
import { screenshot, sidewaysScroll, text, useBrowser, violations, waitForState, waitForText }
  from './support.mjs';

const TICKER = 'market:ticker';
const sale = (name, minor) => JSON.stringify({
  product: 'p', name, amount_minor: minor, currency: 'EUR', at: '2026-01-31T12:00:00.000Z',
});
// Ann, as a page finds her in its storage after a reload.
const annWith = (access) => ({
  person: { id: 'ann', name: 'Ann' }, access, refresh: 'refresh-1', expires: Date.now() + 3600000,
});
const annsToken = () => makeToken({ sub: 'ann', info: { name: 'Ann' }, exp: inSeconds(3600) });
const answer = (status, body) => (route) => route.fulfill({ status, json: body });
const rows = (page) => page.locator('#ticker li').allInnerTexts();

describe('the page', () => {
  const context = useBrowser();

  test('shows what redis-cli publishes, newest first, and complains about nothing', async () => {
    const hub = await context.startHub();
    const page = await context.openConnected(hub);
    assert.equal(page.url(), `${hub.url}/demo/`);
    assert.match(await text(page, '#state-detail'), /^\d+(\.\d)? ms$/);
    assert.equal(await context.redis.publish(TICKER, sale('Decaf', 1690)), 1);
    await waitForText(page, '#ticker-total', '1 event');
    await context.redis.publish(TICKER, '{"deep":{"list":[1,"<b>"]}}');
    await waitForText(page, '#ticker-total', '2 events');
    const [newest, oldest] = await rows(page);
    assert.match(newest, /Published \{"deep":\{"list":\[1,"<b>"\]\}\}/);
    assert.match(oldest, /Someone bought Decaf\s+€16\.90/);
    assert.deepEqual(page.problems, []);
  });

  test('asks nobody but its hub for anything', async () => {
    const hub = await context.startHub();
    const page = await context.openConnected(hub);
    assert.deepEqual([...page.hosts], [new URL(hub.url).host]);
  });

  test('tells a redis-cli command that works', async () => {
    const hub = await context.startHub();
    const page = await context.openConnected(hub);
    await context.redis.publish(TICKER, sale("Ann's \"best\" beans", 100));
    await waitForText(page, '#ticker-total', '1 event');
    await page.locator('#snippet-action').selectOption({ label: `Publish to ${TICKER}` });
    await page.getByRole('tab', { name: 'redis-cli' }).click();
    const { stdout } = await promisify(execFile)('sh', ['-c', await text(page, '#snippet-code')]);
    assert.equal(stdout, '1\n');
    await waitForText(page, '#ticker-total', '2 events');
    const [again, first] = await rows(page);
    assert.equal(again.split('\n')[0], first.split('\n')[0]);
  });

  test('stays connected when a payload is not JSON', async () => {
    const hub = await context.startHub();
    const page = await context.openConnected(hub);
    for (const payload of ['{"broken":', 'plain text', Buffer.from([0xff, 0x00, 0xc1])]) {
      assert.equal(await context.redis.publish(TICKER, payload), 1);
    }
    for (const payload of ['null', '17', '{"name":1}', sale('Decaf', 1)]) {
      await context.redis.publish(TICKER, payload);
    }
    await waitForText(page, '#ticker-total', '4 events');
    assert.equal(await page.locator('#status').getAttribute('data-state'), 'connected');
    assert.deepEqual(page.problems, []);
    const metrics = await hub.metrics();
    assert.equal(metrics['wirehub_publications_skipped_total{reason="encoding"}'], 3);
  });

  test('speaks MessagePack when asked to, and counts the same bytes as it sends', async () => {
    const hub = await context.startHub();
    const page = await context.openConnected(hub);
    await page.getByRole('radio', { name: 'MessagePack' }).check();
    await waitForState(page, 'connected');
    await page.getByText('Listening', { exact: true }).waitFor();
    await context.redis.waitSubscribers(TICKER, 1);
    await context.redis.publish(TICKER, sale('Decaf', 1690));
    await waitForText(page, '#ticker-total', '1 event');
    assert.match((await rows(page))[0], /Someone bought Decaf/);
    const frame = page.locator('.frame', { hasText: `push ${TICKER}` }).first();
    await frame.click();
    const shown = (await frame.locator('.frame-size').innerText()).replace(' B', '');
    const computed = await page.locator('.size[data-current="true"] .size-value').innerText();
    assert.equal(computed, `${shown} B`);
    assert.match(await text(page, '#frame-title'), /^Received: push market:ticker/);
    const metrics = await hub.metrics();
    const [, connected] = Object.entries(metrics).find(([name]) =>
      name.startsWith('wirehub_connections{') && name.includes('msgpack'));
    assert.equal(connected, 1);
    assert.deepEqual(page.problems, []);
  });

  test('leaves the frames that it lists alone while others come, and lists a hundred', async () => {
    const hub = await context.startHub();
    const page = await context.openConnected(hub);
    await page.locator('.frame', { hasText: 'reply: connect' }).focus();
    await page.keyboard.press('Enter');
    const chosen = await page.evaluateHandle(() => document.activeElement);
    await context.redis.publishAll(TICKER, Array.from({ length: 60 }, (_, i) => sale(`Bag ${i}`, 100)));
    await waitForText(page, '#ticker-total', '60 events');
    await page.locator('.frame', { hasText: `push ${TICKER}` }).first().waitFor();
    assert(await chosen.evaluate((button) => button === document.activeElement && button.isConnected &&
      button.getAttribute('aria-pressed') === 'true'));
    assert.match(await text(page, '#frame-title'), /^Received: reply: connect/);
    for (let i = 0; i < 120; i += 1) await context.redis.publish(TICKER, sale(`Tin ${i}`, 100));
    await waitForText(page, '#ticker-total', '180 events');
    await page.waitForFunction(() => document.querySelectorAll('.frame').length === 100);
    const times = await page.locator('.frame-time').allTextContents();
    assert.deepEqual(times, [...times].sort().reverse());
    assert.deepEqual(page.problems, []);
  });

  test('shows a frame as it was on the wire, whatever the SDK makes of it', async () => {
    const hub = await context.startHub({
      channel: {
        namespaces: [{
          name: 'demo', presence: true, allow_subscribe_for_client: true, allow_presence_for_subscriber: true,
        }],
      },
    });
    const page = await context.openWith(hub, annWith(annsToken()));
    await waitForState(page, 'connected');
    const frame = page.locator('.frame', { hasText: 'reply: presence demo:lobby' });
    await frame.click();
    const size = await frame.locator('.frame-size').innerText();
    assert.equal(await page.locator('.size[data-current="true"] .size-value').innerText(), size);
    const shown = await text(page, '#frame-json');
    assert.match(shown, /"conn_info"/);
    assert.doesNotMatch(shown, /connInfo/);
  });

  test('says what is not there: services, products, load, a ledger', async () => {
    const hub = await context.startHub();
    const page = await context.openConnected(hub);
    await page.getByText('This hub runs without the order service.').waitFor();
    assert.match(await text(page, '#products-state-text'), /code 104/);
    assert(await page.getByRole('button', { name: 'Try again' }).isVisible());
    await page.locator('#ledger-problem:visible').waitFor();
    await page.getByRole('button', { name: 'As Ann' }).click();
    await page.getByText('This hub runs without the user service: there is nobody to log in to.').waitFor();
    await screenshot(page, 'without-services');
    assert.deepEqual(await violations(page), []);
  });

  test('says why it is refused', async () => {
    const closed = await context.startHub({
      client: { allow_anonymous_connect_without_token: false },
    });
    const page = await context.open(closed);
    await waitForState(page, 'disconnected');
    assert.equal(await text(page, '#state-name'), 'Disconnected');
    assert.match(await text(page, '#lost-why'), /bad request, code 3501\. .*anonymous/);
    assert(await page.getByRole('button', { name: 'Connect again' }).isVisible());
    await screenshot(page, 'disconnected');
    assert.deepEqual(await violations(page), []);

    const empty = await context.startHub({ channel: { namespaces: [] } });
    const other = await context.open(empty);
    await waitForState(other, 'connected');
    await other.locator('#ticker-problem:visible').waitFor();
    assert.match(await text(other, '#ticker-problem'), /unknown channel \(code 102\)/);
    assert.deepEqual(await violations(other), []);
  });

  test('says that its token is refused, and goes on with a new one', async () => {
    const hub = await context.startHub();
    const page = await context.openWith(hub, annWith('no.such.token'));
    await waitForState(page, 'disconnected');
    assert.match(await text(page, '#lost-why'),
      /^The hub ended this connection: invalid token, code 3500\. The token was refused\. Connect again with a new one, or log out\.$/);
    assert(await page.getByRole('button', { name: 'Log out' }).isVisible());
    assert.match(await text(page, '#map'), /This page\s+disconnected\s+.*Hub\s+out of reach/s);
    await screenshot(page, 'token-refused');
    assert.deepEqual(await violations(page), []);
    await page.route('**/auth/refresh', answer(200, {
      user: { id: 'ann', name: 'Ann' }, access_token: annsToken(), refresh_token: 'refresh-2', expires_in: 3600,
    }));
    await page.getByRole('button', { name: 'Connect again' }).click();
    await waitForState(page, 'connected');
    assert(await page.locator('#lost').isHidden());
    assert.equal(await text(page, '#me-name'), 'Ann');
  });

  for (const way of ['Connect again', 'Log out']) {
    test(`goes on as a guest when its session has ended: ${way}`, async () => {
      const hub = await context.startHub();
      const page = await context.openWith(hub, annWith('no.such.token'));
      await waitForState(page, 'disconnected');
      await page.route('**/auth/*', answer(401, { code: 401, message: 'the refresh token is not good' }));
      await page.getByRole('button', { name: way }).click();
      await waitForState(page, 'connected');
      assert(await page.locator('#lost').isHidden());
      assert(await page.locator('#me').isHidden());
      assert.equal(await page.locator('#login-problem:visible').count(), way === 'Log out' ? 0 : 1);
      if (way !== 'Log out') assert.equal(await text(page, '#login-problem'), 'Your session has ended.');
    });
  }

  const FAILURES = {
    'when the address or password is wrong': [answer(401, { code: 401, message: 'wrong' }), 'That address or password is wrong.'],
    'when there were too many attempts': [answer(429, { code: 429, message: 'slow down' }), 'Too many attempts. Wait a moment.'],
    'when the user service is away': [answer(503, { code: 1503, message: 'service unavailable' }), 'The user service is away. Try again in a moment.'],
    'when it does not answer': [answer(504, { code: 1504, message: 'timeout' }), 'The user service did not answer in time.'],
    'when a proxy answers instead': [(route) => route.fulfill({ status: 502, contentType: 'text/html', body: '<h1>Bad Gateway' }),
      'The hub answered 502.'],
    'when there is no network': [(route) => route.abort(), 'The hub cannot be reached.'],
    'with words that it did not foresee': [answer(400, { code: 107, message: 'email: at most 254 bytes' }), 'email: at most 254 bytes'],
  };
  test('tells why a log-in failed, and the next one works', async () => {
    const hub = await context.startHub();
    const page = await context.openConnected(hub);
    for (const [what, [respond, words]] of Object.entries(FAILURES)) {
      await page.route('**/auth/login', respond);
      await page.getByRole('button', { name: 'As Ann' }).click();
      await page.getByRole('alert').filter({ hasText: words }).waitFor();
      assert.equal(await page.locator('button[aria-busy]').count(), 0, what);
      assert(await page.locator('#me').isHidden(), what);
      await page.unroute('**/auth/login');
    }
    assert.deepEqual(await violations(page), []);
    await page.route('**/auth/login', answer(200, {
      user: { id: 'ann', name: 'Ann' }, access_token: annsToken(), refresh_token: 'refresh-1', expires_in: 3600,
    }));
    await page.getByRole('button', { name: 'As Ann' }).click();
    await page.locator('#me').waitFor();
    await waitForState(page, 'connected');
    assert(await page.locator('#login-problem').isHidden());
  });

  test('tells why an account is not made, and keeps what was typed', async () => {
    const hub = await context.startHub();
    const page = await context.openConnected(hub);
    await page.route('**/auth/register', answer(409, { code: 409, message: 'there is one' }));
    await page.getByText('Use an account of your own').click();
    await page.getByRole('radio', { name: 'Register' }).check();
    await page.getByLabel('Name').fill('Cleo');
    await page.getByLabel('E-mail').fill('cleo@example.com');
    await page.getByLabel('Password').fill('a long password');
    await page.getByRole('button', { name: 'Create the account' }).click();
    await page.getByText('There is an account with that address already: log in instead.').waitFor();
    assert.equal(await page.getByLabel('E-mail').inputValue(), 'cleo@example.com');
    assert.equal(await page.getByLabel('Password').inputValue(), 'a long password');
  });

  for (const name of ['centrifuge.js', 'uplot.js', 'msgpack.js']) {
    test(`says so when ${name} is not there`, async () => {
      const hub = await context.startHub({}, (directory) => {
        fs.rmSync(path.join(directory, name));
      });
      const page = await context.open(hub);
      await waitForState(page, 'broken');
      assert(await page.getByText('This page is not complete').isVisible());
      assert.deepEqual(await violations(page), []);
    });
  }

  test('is worked by keyboard: tabs, copying, pausing', async () => {
    const hub = await context.startHub();
    const page = await context.openConnected(hub,
      { permissions: ['clipboard-read', 'clipboard-write'] });
    await page.getByRole('tab', { name: 'JavaScript' }).press('ArrowRight');
    assert.equal(await page.getByRole('tab', { name: 'C', exact: true }).getAttribute('aria-selected'), 'true');
    assert.match(await text(page, '#snippet-code'), /wh_client_open/);
    await page.getByRole('button', { name: 'Copy the code' }).press('Enter');
    await page.getByRole('button', { name: 'Copied the code' }).waitFor();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()),
      await page.locator('#snippet-code').textContent());
    const pause = page.getByRole('button', { name: 'Pause' });
    await pause.press('Space');
    assert.equal(await pause.getAttribute('aria-pressed'), 'true');
    await page.keyboard.press('Home');
    const skip = page.getByRole('link', { name: 'Skip to the content' });
    await skip.focus();
    await skip.press('Enter');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'main');
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

  test('fits into 320 pixels when there is nothing to show', async () => {
    const hub = await context.startHub();
    const page = await context.openConnected(hub, { viewport: { width: 320, height: 640 } });
    assert.equal(await sidewaysScroll(page), 0);
  });

  test('fits into 320 pixels when it is refused', async () => {
    const hub = await context.startHub({ client: { allow_anonymous_connect_without_token: false } });
    const page = await context.open(hub, { viewport: { width: 320, height: 640 } });
    await waitForState(page, 'disconnected');
    assert.equal(await sidewaysScroll(page), 0);
  });
});
