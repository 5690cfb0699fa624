// The ledger on the page: four counts, a sentence that judges them, and what the last outage cost.

import { byId, element, framed, READABLE_MS, setText } from './dom.js';
import { capital, clock, count, milliseconds, plural } from './format.js';
import { createLedger, publication, recoveryOutcome, subscribed } from './ledger.js';

const CHANNEL = 'demo:ledger';
const OUTAGES_SHOWN = 4;

// The sentence under the figures.  Pure.
export function verdict(ledger, isConnected = true) {
  if (ledger.last === null) {
    return { tone: 'wait', text: isConnected ? 'Waiting for the first publication.' : 'Nothing to count without a connection.' };
  }
  const parts = [];
  if (ledger.gaps > 0) parts.push(`${plural(ledger.gaps, 'publication')} never arrived`);
  if (ledger.duplicates > 0) parts.push(`${count(ledger.duplicates)} arrived twice`);
  if (ledger.unrecoverable > 0) {
    parts.push(`${count(ledger.unrecoverable)} had left the history before this page was back`);
  }
  if (ledger.newEpochs > 0) {
    parts.push(`the stream began anew ${ledger.newEpochs === 1 ? 'once' : `${ledger.newEpochs} times`}: what was published in between cannot be counted`);
  }
  if (parts.length === 0 && !isConnected) {
    return { tone: 'wait', text: 'Away. What is published meanwhile is counted on the way back.' };
  }
  if (parts.length === 0) return { tone: 'good', text: 'Everything that was published has arrived, once, in order.' };
  return { tone: ledger.gaps > 0 || ledger.duplicates > 0 ? 'bad' : 'wait', text: `${capital(parts.join('; '))}.` };
}

// What is said of one outage.  Pure.
export function outageText({ isComplete, isNewEpoch, recovered, lost, duplicated }) {
  if (isNewEpoch) return 'The stream began anew: nothing could be recovered, and what was missed cannot be counted.';
  if (!isComplete) {
    return `History was exceeded: ${plural(lost, 'message')} lost. The hub said so (recovered: false).`;
  }
  return `Recovered ${plural(recovered, 'message')}, ${count(lost)} lost, ${count(duplicated)} duplicated.`;
}

export function showLedger(connection, { onPublication }) {
  const ledger = createLedger();
  const outages = byId('outages');
  const since = byId('ledger-since');
  const problem = byId('ledger-problem');
  let awayMs = null;
  let isCatchingUp = false;

  function drawNow() {
    for (const name of ['published', 'received', 'duplicates']) setText(byId(`ledger-${name}`), count(ledger[name]));
    setText(byId('ledger-gaps'), count(ledger.gaps + ledger.unrecoverable));
    const { tone, text } = verdict(ledger, connection.state.name === 'connected');
    byId('ledger').dataset.tone = tone;
    setText(byId('ledger-verdict'), text);
    byId('ledger-verdict').hidden = !problem.hidden; // one of them is enough
  }
  const draw = framed(drawNow, READABLE_MS);

  function report(outcome) {
    const text = outageText(outcome);
    const isGood = outcome.isComplete && outcome.lost === 0 && outcome.duplicated === 0;
    outages.prepend(element('li', { dataset: { tone: isGood ? 'good' : 'bad' } },
      element('strong', {}, text),
      element('span', { className: 'hint' }, [`Back at ${clock(new Date())}`,
        awayMs !== null && `${milliseconds(awayMs)} away`].filter(Boolean).join(', '))));
    while (outages.children.length > OUTAGES_SHOWN) outages.lastChild.remove();
    outages.hidden = false;
    drawNow(); // what the line says is in the figures
    awayMs = null;
  }

  connection.on('state', (state) => {
    if (state.name === 'connected') awayMs = state.away;
    byId('ledger').dataset.paused = state.name !== 'connected';
    draw();
  });
  connection.subscribe(CHANNEL, {
    subscribed: (context) => {
      problem.hidden = true;
      if (!context.streamPosition) {
        problem.textContent = `${CHANNEL} has no history here: without offsets there is no ledger.`;
        problem.hidden = false;
        draw();
        return;
      }
      const isFirst = ledger.epoch === null;
      subscribed(ledger, { position: context.streamPosition, wasRecovering: context.wasRecovering, recovered: context.recovered });
      if (isFirst) setText(since, `since ${clock(new Date())}`);
      // What was recovered is handed over before this turn ends.
      else {
        isCatchingUp = true;
        queueMicrotask(() => {
          isCatchingUp = false;
          const outcome = recoveryOutcome(ledger);
          // Another person or encoding is another connection, but no outage.
          if (awayMs !== null || !outcome.isComplete) report(outcome);
        });
      }
      draw();
    },
    publication: (context) => {
      if (!context.offset) return; // a plain PUBLISH: at most once, no part of the stream
      publication(ledger, context.offset);
      // What was recovered was late because this page was away, which is no latency of the hub.
      if (!isCatchingUp) onPublication(context);
      draw();
    },
    unsubscribed: ({ code, reason }) => {
      problem.textContent = `The hub refused ${CHANNEL}: ${reason} (code ${code}).`;
      problem.hidden = false;
      draw();
    },
  });
  draw();
  return ledger;
}
