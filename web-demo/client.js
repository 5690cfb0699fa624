// The official client with three things added: what passes is shown to a tap, MessagePack, and the
// delay before the next try.  All three touch names that are not public: package.json pins the version
// and the tests run them.

import { Centrifuge } from './centrifuge.js';
import { decodeMulti, encode } from './msgpack.js';

const msgpackCodec = {
  name: () => 'msgpack',
  encodeCommands(commands) {
    const parts = commands.map((command) => encode(command, { ignoreUndefined: true }));
    const frame = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      frame.set(part, at);
      at += part.length;
    }
    return frame;
  },
  decodeReplies: (data) => [...decodeMulti(new Uint8Array(data))],
};

const utf8 = new TextEncoder();
const sizeOf = (data) => (typeof data === 'string' ? utf8.encode(data).length : data.byteLength);

// The frame goes to `tap` with the messages that were or will be in it anyway.
function tapped(codec, tap) {
  return {
    name: () => codec.name(),
    applyDeltaIfNeeded: (...parameters) => codec.applyDeltaIfNeeded(...parameters),
    encodeCommands(commands) {
      const data = codec.encodeCommands(commands);
      tap({ direction: 'out', at: Date.now(), size: sizeOf(data), messages: commands });
      return data;
    },
    decodeReplies(data) {
      const messages = codec.decodeReplies(data);
      tap({ direction: 'in', at: Date.now(), size: sizeOf(data), messages });
      return messages;
    },
  };
}

// Measures the first exchange, the connect command and its reply; asks for MessagePack.
function socketOf(encoding, onMeasured) {
  return class extends WebSocket {
    sentAt = null;

    constructor(url) {
      super(url, encoding === 'msgpack' ? ['centrifuge-msgpack'] : []);
      this.binaryType = 'arraybuffer';
      // Before the client adds its own listeners, so that the figure is there when it connects.
      this.addEventListener('message', () => onMeasured(performance.now() - this.sentAt),
        { once: true });
    }

    send(data) {
      this.sentAt ??= performance.now();
      super.send(data);
    }
  };
}

export function createClient(url, { encoding, options, tap, onMeasured, onDelay }) {
  class Client extends Centrifuge {
    _formatOverride() {
      this._codec = tapped(encoding === 'msgpack' ? msgpackCodec : this._codec, tap);
    }

    _getReconnectDelay() {
      const delay = super._getReconnectDelay();
      onDelay(delay);
      return delay;
    }
  }
  return new Client(url, { ...options, websocket: socketOf(encoding, onMeasured) });
}
