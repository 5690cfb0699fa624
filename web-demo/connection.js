// One connection for the page.  It outlives the client: another person or another encoding is
// another client, which goes on with the same subscriptions from where they were.

import { createClient } from './client.js';
import { createEmitter } from './emitter.js';

const RECONNECT_MIN_MS = 300;
const RECONNECT_MAX_MS = 5000;

const TOKEN_REFUSED = 3500;

// What to say under a final close code; the hub's reason stands beside it.
const ADVICE = {
  1: 'The session has ended. Log in again.',
  [TOKEN_REFUSED]: 'The token was refused. Connect again with a new one, or log out.',
  3501: 'Does the hub take anonymous clients? See client.allow_anonymous_connect_without_token.',
  3503: 'Somebody closed this connection on purpose.',
  3504: 'There are too many connections of this user.',
};

export function endpoint(location) {
  const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
  return `${scheme}://${location.host}/connection/websocket`;
}

const describe = ({ code, reason, message }) => `${reason ?? message}, code ${code}`;

// Emits:
//   state {name: connecting|connected|reconnecting|disconnected, …}   after each change
//   frame {direction, at, size, messages}
//   publication {channel, data, offset}      of channels that the token subscribed to
export function createConnection(url) {
  const { on, emit } = createEmitter();
  const wanted = new Map(); // channel → {handlers, position, subscription}
  let client = null;
  let identity = { token: '', getToken: null };
  let encoding = 'json';
  let roundTrip = null;
  let lostAt = null;
  let reason = '';
  let attempts = 0;
  let state = { name: 'connecting' };

  function become(next) {
    state = next;
    emit('state', state);
  }

  function attach(channel, entry) {
    const { handlers } = entry;
    const subscription = client.newSubscription(channel,
      { ...entry.options, ...(entry.position ? { since: entry.position } : {}) });
    entry.subscription = subscription;
    subscription.on('subscribed', (context) => {
      if (context.streamPosition && !context.recovered) entry.position = { ...context.streamPosition };
      handlers.subscribed?.(context);
    });
    subscription.on('publication', (context) => {
      if (context.offset && entry.position) entry.position.offset = context.offset;
      handlers.publication?.(context);
    });
    for (const name of ['join', 'leave', 'subscribing', 'unsubscribed', 'error']) {
      if (handlers[name]) subscription.on(name, handlers[name]);
    }
    subscription.subscribe();
  }

  function listen(made) {
    const isCurrent = () => made === client;
    made.on('connecting', (event) => {
      if (!isCurrent()) return;
      attempts = 0;
      reason = event.code === 0 ? '' : describe(event);
      if (event.code === 0) {
        become({ name: 'connecting' });
      } else {
        lostAt = performance.now();
        become({ name: 'reconnecting', delay: null, reason, attempts });
      }
    });
    made.on('connected', (event) => {
      if (!isCurrent()) return;
      const away = lostAt === null ? null : performance.now() - lostAt;
      lostAt = null;
      become({ name: 'connected', id: event.client, transport: event.transport, encoding, roundTrip, away });
    });
    made.on('disconnected', (event) => {
      if (isCurrent()) {
        become({ name: 'disconnected', reason: describe(event), advice: ADVICE[event.code] ?? '', code: event.code });
      }
    });
    made.on('error', (event) => {
      if (event.error?.message) reason = describe(event.error);
    });
    made.on('publication', (context) => emit('publication', context));
  }

  function open() {
    const old = client;
    client = null;
    if (old) old.disconnect();
    lostAt = null;
    client = createClient(url, {
      encoding,
      options: {
        name: 'wirehub-demo',
        minReconnectDelay: RECONNECT_MIN_MS,
        maxReconnectDelay: RECONNECT_MAX_MS,
        ...(identity.token ? { token: identity.token, getToken: identity.getToken } : {}),
      },
      tap: (frame) => emit('frame', frame),
      onMeasured: (ms) => { roundTrip = ms; },
      onDelay: (delay) => {
        attempts += 1;
        become({ name: 'reconnecting', delay: Math.round(delay), reason, attempts });
      },
    });
    listen(client);
    for (const [channel, entry] of wanted) attach(channel, entry);
    client.connect();
  }

  return {
    on,
    get state() { return state; },
    get encoding() { return encoding; },
    start(firstIdentity) {
      identity = firstIdentity;
      open();
    },
    use(nextIdentity) {
      identity = nextIdentity;
      open();
    },
    useEncoding(next) {
      encoding = next;
      open();
    },
    again() {
      if (state.code === TOKEN_REFUSED && identity.getToken) client.setToken(''); // ask for another
      client.connect();
    },
    subscribe(channel, handlers, options = {}) {
      const entry = { handlers, options, position: null, subscription: null };
      wanted.set(channel, entry);
      if (client) attach(channel, entry);
    },
    // The answer's data and how long it took.  Throws {code, message, temporary}.
    async rpc(method, data) {
      const began = performance.now();
      const result = await client.rpc(method, data);
      return { data: result.data, took: performance.now() - began };
    },
    presence: (channel) => wanted.get(channel).subscription.presence(),
  };
}
