// The official Python client; skipped where pip cannot install it.

import { installPython, pythonProgram } from './python_program.mjs';
import { scenario } from './sdk.mjs';

scenario('centrifuge-python', {
  encodings: ['JSON', 'Protobuf'], problem: await installPython(), start: () => pythonProgram,
  handshake: {
    JSON: /^GET (?!.*\r\nSec-WebSocket-Protocol:)/is,
    Protobuf: /\r\nSec-WebSocket-Protocol: centrifuge-protobuf\r\n/i,
  },
});
