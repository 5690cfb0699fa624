// The page: one connection, two subscriptions, one list.

import { endpoint, openConnection, statusView } from './connection.js';
import { createFeed } from './feed.js';
import { setup } from './setup.js';
import { enableCopyButtons, javascript, publishCommand, python, shell } from './snippets.js';

const TICKER = 'market:ticker';
const ROOM = 'demo:room'; // where ./dev up lets clients publish
const SYMBOLS = ['ACME', 'GLOBEX', 'INITECH', 'HOOLI', 'UMBRELLA'];

const url = endpoint(location);
const element = (id) => document.getElementById(id);
const inWords = {
  102: 'the hub has no such namespace',
  103: 'anonymous clients may not: the namespace needs allow_subscribe_for_anonymous',
  108: 'the hub does not have this',
};

function fillTexts() {
  element('code-js').textContent = javascript(url, TICKER);
  element('code-python').textContent = python(url, TICKER);
  element('code-shell').textContent = shell(url, TICKER);
  element('command').textContent = publishCommand(setup, TICKER);
  element('send-channel').textContent = ROOM;
  if (setup.redis_port === null) {
    element('make-text').textContent =
      'This hub runs without Redis. One that was started by ./dev up takes this from any program:';
    element('make-hint').textContent = 'Here, clients publish to each other.';
  } else if (setup.redis_port === undefined) {
    element('make-hint').textContent =
      'On the Redis that the hub is configured with (engine.redis.address); add -h and -p for it.';
  }
  enableCopyButtons(document);
}

function subscribeToTicker(client, feed) {
  const problem = element('events-problem');
  const subscription = client.newSubscription(TICKER);
  subscription.on('publication', ({ channel, data }) => feed.add({ channel, data }));
  subscription.on('subscribed', () => {
    problem.hidden = true;
    element('empty-title').textContent = 'Listening';
  });
  subscription.on('subscribing', () => { element('empty-title').textContent = 'Not subscribed yet'; });
  const refused = ({ code, reason }) => {
    problem.textContent =
      `Subscribing to ${TICKER} was refused: ${inWords[code] ?? reason} (code ${code}).`;
    problem.hidden = false;
    element('empty-title').textContent = 'Not subscribed';
  };
  subscription.on('unsubscribed', refused);
  subscription.on('error', ({ error }) => refused({ code: error.code, reason: error.message }));
  subscription.subscribe();
}

// The button shows once the hub has let this page into the room, and goes when the hub refuses a
// publication.  Its events come back through the hub like everybody else's, with the time it took.
function offerSending(client, feed) {
  const row = element('send-row');
  const note = element('send-note');
  const subscription = client.newSubscription(ROOM);
  const own = `${Math.random()}`;

  subscription.on('subscribed', () => { row.hidden = false; });
  subscription.on('subscribing', () => { row.hidden = true; });
  subscription.on('unsubscribed', () => { row.hidden = true; });
  subscription.on('publication', ({ channel, data }) => {
    const { from, sent, ...rest } = Object(data);
    if (from === own) {
      const took = (performance.now() - sent).toFixed(1);
      feed.add({ channel, data: rest, note: `there and back in ${took} ms` });
    } else if (from !== undefined) {
      feed.add({ channel, data: rest, note: 'from another page' });
    } else {
      feed.add({ channel, data });
    }
  });
  element('send').addEventListener('click', async () => {
    const symbol = SYMBOLS[Math.floor(Math.random() * SYMBOLS.length)];
    const price = Math.round(Math.random() * 10000) / 100;
    try {
      await subscription.publish({ symbol, price, from: own, sent: performance.now() });
      note.classList.remove('bad');
    } catch (error) {
      note.textContent = `Refused: ${error.message} (code ${error.code}).`;
      note.classList.add('bad');
      element('send').disabled = error.code === 103;
    }
  });
  subscription.subscribe();
}

async function start() {
  let client = null;
  const status = statusView(element('status'), { onReconnect: () => client.connect() });
  fillTexts();
  let Centrifuge;
  try {
    ({ Centrifuge } = await import('./centrifuge.js'));
  } catch (error) {
    status.broken(`centrifuge.js is not there: ./dev up puts it beside this page (${error.message}).`);
    return;
  }
  const feed = createFeed({
    list: element('list'), empty: element('empty'), total: element('total'),
    rate: element('rate'), note: element('list-note'), pause: element('pause'),
    clear: element('clear'),
  });
  client = openConnection(Centrifuge, url, status);
  subscribeToTicker(client, feed);
  offerSending(client, feed);
  client.connect();
}

start();
