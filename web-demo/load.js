// The load: a slider for what the hub is given to do, and how long messages took from publishing to
// this page.  Each is counted as it comes; figures and picture are made once a second.

import { createChart, fillTable } from './chart.js';
import { byId, setText } from './dom.js';
import { count, milliseconds } from './format.js';
import { arrived, createClockGuard, createLatencyWindow, createSequence } from './latency.js';
import { askToLogIn } from './shop.js';

const RENEW_MS = 10000; // the service turns it off 30 s after the last word
const SETTLE_MS = 250;
const SPAN_S = 10;
const MEASURED_S = 0.5; // a rate of less than that says little
const HANDS_OFF_MS = 3000; // after a move: what the service says may be older

export function showLoad(connection, auth, { onCall }) {
  const latencies = createLatencyWindow(60);
  const guard = createClockGuard();
  const sequence = createSequence();
  const chart = createChart(byId('chart'));
  const slider = byId('load-rate');
  const note = byId('load-note');
  let wished = 0; // by this page
  let settling = 0;
  let movedAt = -Infinity;
  let lastReceived = 0;
  let lastDrawn = performance.now();
  let rate = 0;

  const take = ({ data }) => {
    if (typeof data?.sent_at !== 'number') return;
    const now = performance.timeOrigin + performance.now();
    latencies.record(now, guard.latency(data.sent_at, now));
  };

  function draw() {
    const now = performance.timeOrigin + performance.now();
    const seconds = (performance.now() - lastDrawn) / 1000;
    if (seconds >= MEASURED_S) {
      rate = Math.round((sequence.received - lastReceived) / seconds);
      lastReceived = sequence.received;
      lastDrawn = performance.now();
    }
    if (document.hidden) return;
    const { p50, p99 } = latencies.summary(now, SPAN_S);
    setText(byId('p50'), milliseconds(p50 ?? NaN));
    setText(byId('p99'), milliseconds(p99 ?? NaN));
    setText(byId('load-received'), count(sequence.received));
    setText(byId('load-per-second'), count(rate));
    setText(byId('load-missed'), sequence.missed === 0 ? ''
      : `${count(sequence.missed)} of the load went by while this page was away: that channel keeps no history.`);
    const series = latencies.series(now);
    byId('chart-empty').hidden = series.count.some(Boolean);
    chart.draw(series);
    if (byId('chart-table').open) fillTable(byId('chart-rows'), series);
    const ahead = guard.correction;
    setText(byId('clock-note'), ahead > 1
      ? `The clocks of this device and the publisher differ by at least ${milliseconds(ahead)}; latencies are corrected by that.` : '');
  }

  function showRate(rate) {
    setText(byId('load-value'), rate === 0 ? 'off' : `${count(rate)} msg/s`);
    slider.setAttribute('aria-valuetext', rate === 0 ? 'off' : `${rate} messages a second`);
    slider.style.setProperty('--share', `${(rate / slider.max) * 100}%`);
  }

  async function ask(rate, isRenewal) {
    if (!isRenewal) onCall({ kind: 'rpc', method: 'demo.v1.load', params: { rate }, needsUser: true });
    try {
      await connection.rpc('demo.v1.load', { rate });
      setText(note, '');
    } catch (error) {
      if (error.code < 100 && isRenewal) return; // reconnecting: the next renewal says it again
      setText(note, [104, 108, 1503].includes(error.code)
        ? 'There is no load generator here: the demo service is not running.'
        : `Refused: ${error.message} (code ${error.code}).`);
      movedAt = -Infinity;
      wished = 0;
      slider.value = 0;
      showRate(0);
    }
  }

  slider.addEventListener('input', () => {
    if (!auth.person) {
      slider.value = 0;
      askToLogIn();
      return;
    }
    movedAt = performance.now();
    wished = Number(slider.value);
    showRate(wished);
    clearTimeout(settling);
    settling = setTimeout(() => ask(wished, false), SETTLE_MS);
  });
  // A hidden page lets it run out.
  setInterval(() => { if (wished > 0 && !document.hidden) ask(wished, true); }, RENEW_MS);
  setInterval(draw, 1000);
  document.addEventListener('visibilitychange', draw);
  byId('chart-table').addEventListener('toggle', draw);

  connection.subscribe('demo:load', {
    publication: (context) => {
      arrived(sequence, context.data?.n ?? sequence.last ?? 0);
      take(context);
    },
  });
  showRate(0);
  return {
    ledgerPublication: take, // steady, so that there is something to see without load
    // Somebody else may have moved it, or it ran out.
    actualRate(rate) {
      if (performance.now() - movedAt < HANDS_OFF_MS) return;
      if (!Number.isFinite(rate) || Number(slider.value) === rate) return;
      slider.value = rate;
      if (rate === 0) wished = 0;
      showRate(rate);
    },
  };
}
