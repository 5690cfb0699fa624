// What the hub counts, once a second, as the demo service reads it from /metrics.

import { byId, element, setText } from './dom.js';
import { count, milliseconds } from './format.js';

const STALE_MS = 5000;
const SERVICES = { users: 'Users', products: 'Products', orders: 'Orders', payments: 'Payments', demo: 'Demo' };

const whole = (value) => (Number.isFinite(value) ? count(Math.round(value)) : '–');

export function showCounters(connection, { onRate }) {
  const panel = byId('counters');
  let timer = 0;

  connection.subscribe('demo:stats', {
    publication({ data }) {
      const { hub, services, load } = Object(data);
      clearTimeout(timer);
      timer = setTimeout(() => { panel.dataset.stale = ''; }, STALE_MS);
      delete panel.dataset.stale;
      byId('counters-empty').hidden = true;
      byId('counters-list').hidden = false;
      onRate(load?.rate);
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
      byId('services').replaceChildren(...Object.entries(SERVICES).map(([name, title]) => {
        const instances = services?.[name] ?? 0;
        return element('li', { dataset: { tone: instances ? 'good' : 'bad' } }, title,
          element('span', { className: 'service-state' }, instances === 0 ? 'away' : instances === 1 ? 'up' : `${instances} up`));
      }));
    },
  });
}
