// The connection and the words for its state.

const RECONNECT_MIN_MS = 300;
const RECONNECT_MAX_MS = 5000;

// What to say under a final close code; the hub's reason stands beside it.
const ADVICE = {
  3500: 'The token was refused.',
  3501: 'Does the hub take anonymous clients? See client.allow_anonymous_connect_without_token.',
  3503: 'Somebody closed this connection on purpose.',
  3504: 'There are too many connections of this user.',
};

export function endpoint(location) {
  const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
  return `${scheme}://${location.host}/connection/websocket`;
}

// A WebSocket that measures its first exchange: the connect command and its reply.
function timedWebSocket(onMeasured) {
  return class extends WebSocket {
    sentAt = null;

    constructor(...parameters) {
      super(...parameters);
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

// Centrifuge tells that it reconnects but not when.  The delay comes from a method that is not
// public; package.json pins the version, and without the method the page merely says less.
function delayTelling(Centrifuge, onDelay) {
  return class extends Centrifuge {
    _getReconnectDelay() {
      const delay = super._getReconnectDelay();
      onDelay(delay);
      return delay;
    }
  };
}

export function openConnection(Centrifuge, url, view) {
  let roundTrip = null;
  let reason = '';
  let attempts = 0;
  let wasConnected = false;

  const Client = delayTelling(Centrifuge, (delay) => {
    attempts += 1;
    view.reconnecting({ delay: Math.round(delay), reason, attempts, wasConnected });
  });
  const client = new Client(url, {
    name: 'wirehub-demo',
    minReconnectDelay: RECONNECT_MIN_MS,
    maxReconnectDelay: RECONNECT_MAX_MS,
    websocket: timedWebSocket((ms) => { roundTrip = ms; }),
  });

  client.on('connecting', (event) => {
    attempts = 0;
    reason = event.code === 0 ? '' : describe(event);
    if (event.code === 0) view.connecting();
    else view.reconnecting({ delay: null, reason, attempts, wasConnected });
  });
  client.on('connected', (event) => {
    wasConnected = true;
    view.connected({ id: event.client, transport: event.transport, roundTrip });
  });
  client.on('disconnected', (event) => {
    view.disconnected({ reason: describe(event), advice: ADVICE[event.code] ?? '' });
  });
  client.on('error', (event) => {
    if (event.error?.message) reason = describe(event.error);
  });
  return client;
}

function describe({ code, reason, message }) {
  return `${reason ?? message}, code ${code}`;
}

// The card at the top: state in words and colour, facts of the connection.
export function statusView(root, { onReconnect }) {
  const find = (id) => root.querySelector(`#${id}`);
  const name = find('state-name');
  const detail = find('state-detail');
  const button = find('reconnect');
  let timer = 0;

  const show = (state, title, text) => {
    clearTimeout(timer);
    root.dataset.state = state;
    // The live region: written only when it changes, so that it is read out once per change.
    if (name.textContent !== title) name.textContent = title;
    detail.textContent = text;
    button.hidden = state !== 'disconnected';
  };
  const facts = ({ id = '–', transport = '–', encoding = '–', roundTrip = null } = {}) => {
    find('client-id').textContent = id;
    find('transport').textContent = transport;
    find('encoding').textContent = encoding;
    find('round-trip').textContent = roundTrip === null ? '–' : milliseconds(roundTrip);
  };
  button.addEventListener('click', onReconnect);

  return {
    connecting() {
      facts();
      show('connecting', 'Connecting', 'Opening a WebSocket to this hub.');
    },
    connected({ id, transport, roundTrip }) {
      facts({ id, transport: TRANSPORTS[transport] ?? transport, encoding: 'JSON', roundTrip });
      show('connected', 'Connected', 'Events arrive as they are published.');
    },
    reconnecting({ delay, reason, attempts, wasConnected }) {
      facts();
      const title = wasConnected ? 'Reconnecting' : 'No connection yet';
      if (delay === null) {
        show('reconnecting', title, `Lost the connection: ${reason}.`);
        return;
      }
      const tries = attempts > 1 ? ` (attempt ${attempts})` : '';
      const why = reason ? `: ${reason}` : '';
      show('reconnecting', title, `Trying again in ${delay} ms${tries}${why}.`);
      timer = setTimeout(() => {
        detail.textContent = `Trying now${tries}${why}.`;
      }, delay);
    },
    disconnected({ reason, advice }) {
      facts();
      show('disconnected', 'Disconnected', `The hub said: ${reason}. ${advice}`.trim());
    },
    broken(text) {
      facts();
      show('broken', 'Not working', text);
    },
  };
}

const TRANSPORTS = { websocket: 'WebSocket' };

function milliseconds(ms) {
  return ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
}
