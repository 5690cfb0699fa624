// The official Go client; skipped where its program cannot be had.

import { buildGo, goProgram } from './go_program.mjs';
import { scenario } from './sdk.mjs';

scenario('centrifuge-go', {
  encodings: ['JSON', 'Protobuf'], start: () => [goProgram], problem: await buildGo(),
});
