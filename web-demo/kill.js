// The button that kills the hub process which holds this connection.  A hub without demo.enabled has
// no such method, and then there is no such button.

import { byId, setText } from './dom.js';
import { milliseconds, plural } from './format.js';
import { askToLogIn } from './shop.js';

const ASK_MS = 5000;

const uptime = (ms) => (ms < 60000 ? `${Math.floor(ms / 1000)}\u00a0s` : plural(Math.floor(ms / 60000), 'minute'));

export function showKill(connection, auth, { onCall, onRoundTrip, onWorker }) {
  const panel = byId('kill');
  const button = byId('kill-button');
  const note = byId('kill-note');
  let worker = null;
  let killed = null;
  let successor = null; // the process that the note says serves here
  let isThere = true; // the methods, as far as this connection knows

  function draw() {
    if (!worker) return;
    setText(byId('kill-worker'), `Process ${worker.pid}, worker ${worker.worker + 1} of ${worker.workers}, up ${uptime(worker.uptime_ms)}`);
  }

  async function ask() {
    if (!isThere || connection.state.name !== 'connected' || document.hidden) return;
    try {
      const { data, took } = await connection.rpc('hub.v1.info', {});
      const isOther = killed && killed.pid !== data.pid;
      worker = data;
      panel.hidden = false;
      onRoundTrip(took);
      onWorker(worker);
      if (isOther) {
        setText(note, `Killed process ${killed.pid}; process ${data.pid} serves you now.`);
        killed = null;
        successor = data.pid;
      } else if (successor && successor !== data.pid) { // somebody else killed that one too
        setText(note, '');
        successor = null;
      }
      draw();
    } catch (error) {
      isThere = ![104, 108].includes(error.code);
      panel.hidden ||= !isThere;
    }
  }

  button.addEventListener('click', async () => {
    if (!auth.person) {
      askToLogIn();
      return;
    }
    if (connection.state.name !== 'connected') { // else it would reach whoever serves here next
      setText(note, 'There is no connection now, so nobody to kill.');
      return;
    }
    const signal = document.querySelector('input[name="signal"]:checked').value;
    button.disabled = true;
    onCall({ kind: 'rpc', method: 'hub.v1.kill', params: { signal }, needsUser: true });
    try {
      const { data, took } = await connection.rpc('hub.v1.kill', { signal });
      killed = data;
      setText(note, `Process ${data.pid} answered in ${milliseconds(took)} and dies in ${data.in_ms} ms.`);
    } catch (error) {
      setText(note, error.code === 111 ? 'A worker was killed a moment ago. One in five seconds.'
        : `The hub refused: ${error.message} (code ${error.code}).`);
    }
    button.disabled = false;
  });

  connection.on('state', ({ name }) => {
    button.setAttribute('aria-disabled', String(name !== 'connected'));
    if (name !== 'connected') return;
    isThere = true;
    ask();
  });
  setInterval(ask, ASK_MS);
  document.addEventListener('visibilitychange', ask);
}
