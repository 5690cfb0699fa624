// The official Java client, in Protobuf, the only encoding it has (and the one of Swift and Dart).
// Skipped where Java or Maven are absent, or its library cannot be had.

import { execFile } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';

import { ROOT } from '../support/harness.mjs';
import { scenario } from './sdk.mjs';

const run = promisify(execFile);
const here = path.join(ROOT, 'tests/conformance/java');
const output = path.join(ROOT, 'build/conformance-java');
const list = path.join(output, 'classpath.txt');
const NEEDED = 11;

const lastLine = (error) => String(error.stdout || error.stderr || error.message).trim()
  .split('\n').find((line) => line.includes('ERROR')) ?? error.message;

// Fills `list` once for each content of pom.xml; resolves to why it cannot, or null.
async function resolveLibraries() {
  const wanted = fs.readFileSync(path.join(here, 'pom.xml'), 'utf8');
  const stamp = path.join(output, 'pom.xml');
  const jars = () => fs.readFileSync(list, 'utf8').trim().split(':');
  if (fs.existsSync(stamp) && fs.readFileSync(stamp, 'utf8') === wanted
      && jars().every((jar) => fs.existsSync(jar))) return null;
  try {
    await run('mvn', ['-q', '-B', '-f', path.join(here, 'pom.xml'), `-Dwirehub.build=${output}`,
      'dependency:build-classpath', `-Dmdep.outputFile=${list}`], { timeout: 120000 });
  } catch (error) {
    return error.code === 'ENOENT' ? 'mvn is not installed'
      : `mvn cannot download centrifuge-java: ${lastLine(error)}`;
  }
  fs.writeFileSync(stamp, wanted);
  return null;
}

// Resolves to why the program cannot be had, or null.
async function build() {
  let version;
  try {
    ({ stdout: version } = await run('javac', ['-version']));
  } catch {
    return 'javac is not installed';
  }
  if (Number(/\d+/.exec(version)?.[0]) < NEEDED) return `${version.trim()} is too old`;
  fs.mkdirSync(output, { recursive: true });
  const problem = await resolveLibraries();
  if (problem) return problem;
  // From here on a failure is one of ours, not of the machine.
  await run('javac', ['-Xlint:all', '-d', output, '-cp', fs.readFileSync(list, 'utf8').trim(),
    path.join(here, 'Scenario.java')], { timeout: 60000 });
  return null;
}

scenario('centrifuge-java', {
  encodings: ['Protobuf'],
  start: () => ['java', '-cp', `${output}:${fs.readFileSync(list, 'utf8').trim()}`, 'Scenario'],
  problem: await build(),
});
