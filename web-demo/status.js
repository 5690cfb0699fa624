// The state of the connection in words and colour, and the banner when there is no network at all.

import { byId, setText } from './dom.js';
import { milliseconds } from './format.js';

export function showStatus(connection) {
  const root = byId('status');
  const name = byId('state-name');
  const detail = byId('state-detail');
  const lost = byId('lost');

  const show = (state, title, text) => {
    root.dataset.state = state;
    document.documentElement.dataset.connection = state;
    setText(name, title); // the live region: once per change of state
    setText(detail, text);
    lost.hidden = state !== 'disconnected';
  };

  byId('reconnect').addEventListener('click', () => connection.again());
  connection.on('state', (state) => {
    if (state.name === 'connecting') show('connecting', 'Connecting', 'Opening a WebSocket.');
    if (state.name === 'connected') {
      show('connected', 'Connected', state.roundTrip === null ? '' : milliseconds(state.roundTrip));
    }
    if (state.name === 'reconnecting') {
      const when = state.delay === null ? '' : `in ${state.delay} ms`;
      show('reconnecting', 'Reconnecting', [when, state.reason && `(${state.reason})`].filter(Boolean).join(' '));
    }
    if (state.name === 'disconnected') {
      show('disconnected', 'Disconnected', '');
      setText(byId('lost-why'), `The hub ended this connection: ${state.reason}. ${state.advice}`.trim());
    }
  });

  const banner = byId('offline');
  const network = () => { banner.hidden = navigator.onLine; };
  addEventListener('online', network);
  addEventListener('offline', network);
  network();

  return {
    roundTrip(ms) {
      if (root.dataset.state === 'connected') setText(detail, milliseconds(ms));
    },
    broken(text) {
      show('broken', 'Not working', text);
    },
  };
}
