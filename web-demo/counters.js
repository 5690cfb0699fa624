// What the hub counts, once a second, as the demo service reads it from /metrics.

import { byId, setText } from './dom.js';
import { count, milliseconds } from './format.js';

const STALE_MS = 5000;

const whole = (value) => (Number.isFinite(value) ? count(Math.round(value)) : '–');

export function showCounters(connection, { onRate, onStats }) {
  const panel = byId('counters');
  let timer = 0;

  connection.subscribe('demo:stats', {
    publication({ data }) {
      const { hub, load } = Object(data);
      clearTimeout(timer);
      timer = setTimeout(() => {
        panel.dataset.stale = '';
        onStats({ isStale: true });
      }, STALE_MS);
      delete panel.dataset.stale;
      byId('counters-empty').hidden = true;
      byId('counters-list').hidden = false;
      onRate(load?.rate);
      onStats({ stats: Object(data), isStale: false });
      if (document.hidden) return;
      const values = {
        connections: whole(hub?.connections),
        subscriptions: whole(hub?.subscriptions),
        sent: whole(hub?.rates?.messages_sent),
        rpc: whole(hub?.rates?.rpc),
        'rpc-p50': hub?.rpc_ms ? milliseconds(hub.rpc_ms.p50) : '–',
        'rpc-p99': hub?.rpc_ms ? milliseconds(hub.rpc_ms.p99) : '–',
        total: whole(hub?.totals?.messages_sent),
        restarts: whole(hub?.worker_restarts),
      };
      for (const [name, value] of Object.entries(values)) setText(byId(`hub-${name}`), value);
    },
  });
}
