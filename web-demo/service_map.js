// The parts behind the page and how they are, as far as the page hears of them: its own connection,
// hub.v1.info and demo:stats.

import { byId, element, setText } from './dom.js';
import { count, plural } from './format.js';

const SERVICES = [
  { id: 'users', title: 'Users' },
  { id: 'orders', title: 'Orders' },
  { id: 'payments', title: 'Payments' },
  { id: 'demo', title: 'Demo' },
];
const ENCODINGS = { json: 'JSON', msgpack: 'MessagePack' };

function page({ name, encoding }) {
  if (name === 'connected') return { tone: 'good', state: 'connected', detail: ENCODINGS[encoding] };
  if (name === 'disconnected') return { tone: 'bad', state: 'disconnected', detail: '' };
  return { tone: 'wait', state: name, detail: '' };
}

function hub({ name }, worker, stats) {
  if (name !== 'connected') return { tone: 'unknown', state: 'out of reach', detail: '' };
  return {
    tone: 'good',
    state: worker ? `worker ${worker.worker + 1} of ${worker.workers} serves you` : 'serves you',
    detail: Number.isFinite(stats?.hub?.connections) ? plural(stats.hub.connections, 'connection') : '',
  };
}

function redis({ name }, worker, stats, isStale) {
  if (name !== 'connected') return { tone: 'unknown', state: 'not known', detail: '' };
  if (worker?.engine === 'memory') return { tone: 'unknown', state: 'not used by this hub', detail: '' };
  // What is told on demo:stats came through Redis.
  if (stats === null) return { tone: 'unknown', state: 'nothing heard yet', detail: '' };
  if (isStale) return { tone: 'wait', state: 'nothing heard for 5 s', detail: '' };
  const rate = stats.hub?.rates?.publications;
  return { tone: 'good', state: 'carries events', detail: Number.isFinite(rate) ? `${count(Math.round(rate))} a second` : '' };
}

function service(id, isHeard, stats) {
  if (!isHeard) return { tone: 'unknown', state: 'not known', detail: '' };
  const instances = stats.services?.[id] ?? 0;
  if (instances === 0) return { tone: 'bad', state: 'away', detail: '' };
  return { tone: 'good', state: 'up', detail: instances === 1 ? '' : plural(instances, 'instance') };
}

// {connection: its state, worker: the answer of hub.v1.info or null, stats: the last of demo:stats or null,
// isStale} → parts from the page to the services, each {id, title, tone, state, detail}.  Pure.
export function partsOf({ connection, worker, stats, isStale }) {
  const isHeard = connection.name === 'connected' && stats !== null && !isStale;
  return [
    { id: 'page', title: 'This page', ...page(connection) },
    { id: 'hub', title: 'Hub', ...hub(connection, worker, isHeard ? stats : null) },
    { id: 'redis', title: 'Redis', ...redis(connection, worker, stats, isStale) },
    ...SERVICES.map(({ id, title }) => ({ id, title, ...service(id, isHeard, stats) })),
  ];
}

export function showServiceMap(connection) {
  const map = byId('map');
  const known = { worker: null, stats: null, isStale: false };
  const nodes = new Map();

  function draw() {
    for (const { id, title, tone, state, detail } of partsOf({ connection: connection.state, ...known })) {
      let node = nodes.get(id);
      if (!node) {
        node = byId(`map-${id}`);
        node.append(element('strong', {}, title), ' ', element('span', { className: 'part-state' }),
          ' ', element('span', { className: 'part-detail' }));
        nodes.set(id, node);
      }
      node.dataset.tone = tone;
      setText(node.querySelector('.part-state'), state);
      setText(node.querySelector('.part-detail'), detail);
      for (const line of map.querySelectorAll(`[data-to="${id}"]`)) line.dataset.tone = tone;
    }
  }

  connection.on('state', draw);
  document.addEventListener('visibilitychange', draw);
  draw();
  return {
    // Of hub.v1.info: {worker}; of demo:stats: {stats, isStale}.
    heard(news) {
      Object.assign(known, news);
      if (!document.hidden) draw();
    },
  };
}
