// Somebody bought something: the last sales of everybody.

import { byId, element, framed, setText } from './dom.js';
import { ago, money, plural } from './format.js';

const TICKER = 'market:ticker';
const ROWS = 30;

// What a row says; other programs may publish here whatever they like.  Pure.
export function saleOf(data) {
  const sale = Object(data);
  if (typeof sale.name === 'string' && Number.isFinite(sale.amount_minor) && /^[A-Z]{3}$/.test(sale.currency)) {
    return { who: 'Someone bought', what: sale.name, price: money(sale), at: Date.parse(sale.at) || Date.now() };
  }
  return { who: 'Published', what: JSON.stringify(data) ?? 'nothing', price: '', at: Date.now() };
}

export function showTicker(connection, { onSale }) {
  const list = byId('ticker');
  const empty = byId('ticker-empty');
  const problem = byId('ticker-problem');
  const sales = [];
  let total = 0;

  const draw = framed(() => {
    const now = Date.now();
    empty.hidden = sales.length > 0;
    list.hidden = sales.length === 0;
    setText(byId('ticker-total'), plural(total, 'event'));
    list.replaceChildren(...sales.map((sale) => element('li', { dataset: { fresh: now - sale.at < 3000 } },
      element('span', { className: 'sale-what' }, `${sale.who} `, element('strong', {}, sale.what)),
      element('span', { className: 'sale-price' }, sale.price),
      element('span', { className: 'sale-when' }, ago(now - sale.at)))));
  });
  setInterval(() => { if (sales.length && !document.hidden) draw(); }, 5000);

  connection.subscribe(TICKER, {
    subscribed: () => {
      problem.hidden = true;
      setText(byId('ticker-empty-title'), 'Listening');
    },
    subscribing: () => setText(byId('ticker-empty-title'), 'Not subscribed yet'),
    publication: ({ data }) => {
      const sale = saleOf(data);
      total += 1;
      sales.unshift(sale);
      sales.length = Math.min(sales.length, ROWS);
      draw();
      onSale(data);
    },
    unsubscribed: ({ code, reason }) => {
      problem.textContent = `The hub refused ${TICKER}: ${reason} (code ${code}).`;
      problem.hidden = false;
    },
  });
}
