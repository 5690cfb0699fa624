// The official Python client, in a virtual environment of its own; skipped where pip cannot
// install it.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

import { ROOT, waitFor } from '../support/harness.mjs';
import { onEachBroker, startBalancer, subscribe } from './support.mjs';

const run = promisify(execFile);
const here = path.join(ROOT, 'tests/conformance');
const venv = path.join(ROOT, 'build/conformance-python');

// Made once for each content of requirements.txt; resolves to why it could not be, or null.
async function install() {
  const wanted = fs.readFileSync(path.join(here, 'requirements.txt'), 'utf8');
  const stamp = path.join(venv, 'installed.txt');
  if (fs.existsSync(stamp) && fs.readFileSync(stamp, 'utf8') === wanted) return null;
  try {
    await run('/usr/bin/python3', ['-m', 'venv', '--clear', venv], { timeout: 60000 });
    await run(path.join(venv, 'bin/pip'), ['install', '--quiet', '--disable-pip-version-check',
      '--requirement', path.join(here, 'requirements.txt')], { timeout: 90000 });
  } catch (error) {
    return `pip cannot install centrifuge-python: ${String(error.stderr || error.message).trim()
      .split('\n').pop()}`;
  }
  fs.writeFileSync(stamp, wanted);
  return null;
}

const problem = await install();

onEachBroker('centrifuge-python', (context) => {
  for (const [encoding, parameters, header] of [
    ['JSON', [], /\r\nSec-WebSocket-Protocol: ?\r\n/i],
    ['Protobuf', ['protobuf'], /\r\nSec-WebSocket-Protocol: centrifuge-protobuf\r\n/i],
  ]) {
    test(`connects, subscribes, publishes and receives in ${encoding}`,
      { skip: problem ?? false }, async () => {
        const hub = await context.start();
        const balancer = await startBalancer(hub);
        context.atEnd(balancer.close);
        const other = await subscribe(await context.connected(hub.wsUrl), 'talk');
        const { stdout } = await run(path.join(venv, 'bin/python'),
          [path.join(here, 'python_client.py'), balancer.wsUrl, ...parameters],
          { timeout: 20000, env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' } });
        assert.deepEqual(JSON.parse(stdout), { from: 'python' });
        await waitFor('it in JavaScript', () => other.received.length === 1);
        assert.deepEqual(other.received[0].data, { from: 'python' });
        assert.match(balancer.heads[0], header);
      });
  }
});
