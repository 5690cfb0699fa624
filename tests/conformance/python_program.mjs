// The program of the official Python client, in a virtual environment of its own.

import { execFile } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';

import { ROOT } from '../support/harness.mjs';

const run = promisify(execFile);
const here = path.join(ROOT, 'tests/conformance');
const venv = path.join(ROOT, 'build/conformance-python');

// Made once for each content of requirements.txt; resolves to why it could not be, or null.
export async function installPython() {
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

export const pythonProgram = [path.join(venv, 'bin/python'), '-B', path.join(here, 'python_client.py')];
