// The program of the official Go client: built once for each state of its sources; it cannot be had
// where Go is too old or its modules cannot be downloaded.

import { execFile } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';

import { ROOT } from '../support/harness.mjs';

const run = promisify(execFile);
const here = path.join(ROOT, 'tests/conformance/go');
export const goProgram = path.join(ROOT, 'build/conformance-go/scenario');
const NEEDED = [1, 25];

// Resolves to why the program cannot be had, or null.
export async function buildGo() {
  const environment = { ...process.env, GOTOOLCHAIN: 'local', GOWORK: 'off' };
  let version;
  try {
    ({ stdout: version } = await run('go', ['env', 'GOVERSION'], { env: environment }));
  } catch {
    return 'go is not installed';
  }
  const [major, minor] = version.replace(/^go/, '').split('.').map(Number);
  if (major < NEEDED[0] || (major === NEEDED[0] && minor < NEEDED[1])) {
    return `${version.trim()} is too old: centrifuge-go needs ${NEEDED.join('.')}`;
  }
  try {
    await run('go', ['mod', 'download'], { cwd: here, env: environment, timeout: 90000 });
  } catch (error) {
    return `go cannot download centrifuge-go: ${String(error.stderr || error.message).trim()}`;
  }
  fs.mkdirSync(path.dirname(goProgram), { recursive: true });
  // From here on a failure is one of ours, not of the machine.
  await run('go', ['build', '-buildvcs=false', '-o', goProgram, '.'],
    { cwd: here, env: environment, timeout: 120000 });
  return null;
}
