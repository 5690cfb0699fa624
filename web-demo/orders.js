// The timelines of the orders of this person, live.

import { byId, element, framed, setText } from './dom.js';
import { milliseconds, money, plural, traceId } from './format.js';
import { accepted, applyEvent, begin, createOrders, refused, STATE_WORDS } from './orders_model.js';
import { newKey } from './shop.js';

const LIVE = /^(orders|payments):live#/;
const ORDERS_MAX = 20;

function line({ title, text, tone, since, type, trace }) {
  return element('li', { className: 'step', dataset: { tone } },
    element('span', { className: 'step-title' }, title),
    element('span', { className: 'step-time' }, `+${milliseconds(since)}`),
    text ? element('span', { className: 'step-text' }, text) : null,
    element('span', { className: 'step-facts' },
      element('code', {}, type),
      trace ? element('code', { className: 'trace', title: `Trace id ${trace}` },
        element('span', { className: 'unseen' }, 'trace '), trace.slice(0, 16)) : null));
}

// The id, as a link where somebody said what shows traces.  Pure but for the element.
function traceOf(id, traceUrl) {
  const code = element('code', {}, id);
  if (!/^https?:\/\//.test(traceUrl ?? '')) return code;
  return element('a', { href: traceUrl.replace('{trace}', id), target: '_blank', rel: 'noopener' }, code);
}

function card(order, isOpen, traceUrl) {
  const last = order.lines.at(-1);
  const title = element('summary', {},
    element('span', { className: 'order-name' }, order.name),
    element('span', { className: 'order-state', dataset: { state: order.state } }, STATE_WORDS[order.state]),
    element('span', { className: 'order-facts' }, [order.price && money(order.price),
      last && `${plural(order.lines.length, 'step')} in ${milliseconds(last.since)}`].filter(Boolean).join(' · ')));
  const waits = ['sending', 'pending'].includes(order.state)
    ? element('li', { className: 'step waiting', dataset: { tone: 'wait' } },
      element('span', { className: 'step-title' }, order.state === 'sending' ? 'Calling orders.v1.create' : 'Waiting for the next event'))
    : null;
  const details = element('details', { className: 'order', open: isOpen, dataset: { key: order.key, state: order.state } },
    title, element('ol', { className: 'steps' }, ...order.lines.map(line), waits),
    order.trace ? element('p', { className: 'order-trace' }, 'Trace ', traceOf(order.trace, traceUrl)) : null);
  return element('li', {}, details);
}

export function showOrders(connection, { onCall, traceUrl }) {
  let orders = createOrders(ORDERS_MAX);
  const closed = new Set();
  const list = byId('orders');
  const said = byId('orders-said');

  const draw = framed(() => {
    byId('orders-empty').hidden = orders.list.length > 0;
    list.hidden = orders.list.length === 0;
    const focused = document.activeElement?.closest('#orders details')?.dataset.key;
    list.replaceChildren(...orders.list.map((order, index) =>
      card(order, index === 0 ? !closed.has(order.key) : closed.has(order.key), traceUrl)));
    if (focused) list.querySelector(`details[data-key="${CSS.escape(focused)}"] summary`)?.focus({ preventScroll: true });
  });
  // The newest is open until it is closed, the others are closed until opened.
  list.addEventListener('click', (event) => {
    const summary = event.target.closest('summary');
    if (!summary) return;
    const { key } = summary.parentElement.dataset;
    if (!closed.delete(key)) closed.add(key);
  });

  connection.on('publication', ({ channel, data }) => {
    if (!LIVE.test(channel)) return;
    const trace = traceId(data?.traceparent);
    if (!applyEvent(orders, data, { now: performance.now(), trace })) return;
    const order = orders.byId.get(data.data.order);
    if (order.state === 'confirmed' && data.type === 'order.confirmed.v1') setText(said, `${order.name}: confirmed.`);
    if (order.state === 'cancelled') setText(said, `${order.name}: cancelled.`);
    draw();
  });

  return {
    async buy(product, cardNumber) {
      const params = {
        lines: [{ product: product.product, quantity: 1 }], card: cardNumber, idempotency_key: newKey(),
      };
      closed.clear();
      const order = begin(orders,
        { key: params.idempotency_key, name: product.name, price: product.price, now: performance.now() });
      draw();
      onCall({ kind: 'rpc', method: 'orders.v1.create', params, needsUser: true });
      try {
        const { data } = await connection.rpc('orders.v1.create', params);
        accepted(orders, order, { id: data.order, now: performance.now() });
      } catch (error) {
        refused(order, { code: error.code, message: error.message, now: performance.now() });
      }
      draw();
    },
    forget() {
      orders = createOrders(ORDERS_MAX);
      closed.clear();
      draw();
    },
  };
}
