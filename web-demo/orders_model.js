// Orders as a person sees them: what was asked, and what each event added.  Pure; times in ms.

const REASONS = {
  cancelled_by_user: 'you cancelled it',
  payment_declined: 'the payment was declined',
  payment_timeout: 'the payment did not answer in time',
  payment_voided: 'the payment was voided',
  refunded: 'the money was returned',
  card_declined: 'card declined',
  insufficient_funds: 'insufficient funds',
};

const STEPS = {
  'order.created.v1': () => ({ title: 'Order created', text: 'The goods are reserved.', tone: 'done' }),
  'payment.authorized.v1': () => ({ title: 'Payment authorized', text: 'The provider holds the money.', tone: 'done' }),
  'payment.declined.v1': ({ reason }) =>
    ({ title: 'Payment declined', text: sentence(inWords(reason)), tone: 'bad' }),
  'order.confirmed.v1': () => ({ title: 'Order confirmed', text: '', tone: 'good', state: 'confirmed' }),
  'payment.captured.v1': () => ({ title: 'Payment captured', text: 'The money was taken.', tone: 'done' }),
  'order.cancelled.v1': ({ reason }) => ({
    title: 'Order cancelled',
    text: `Compensated: the goods are back in stock, for ${inWords(reason)}.`,
    tone: 'bad',
    state: 'cancelled',
  }),
  'payment.voided.v1': () => ({ title: 'Payment voided', text: 'Nothing was taken.', tone: 'done' }),
  'payment.refunded.v1': () => ({ title: 'Payment refunded', text: 'The money was given back.', tone: 'done' }),
};

export const inWords = (reason) => REASONS[reason] ?? String(reason ?? 'no reason given').replaceAll('_', ' ');
const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

export function createOrders(limit = 20) {
  return { list: [], byId: new Map(), limit };
}

// Somebody pressed Buy.
export function begin(orders, { key, name, price, now }) {
  const order = {
    key, id: null, name, price, began: now, state: 'sending', error: null, trace: null, lines: [],
    seen: new Set(),
  };
  orders.list.unshift(order);
  for (const gone of orders.list.splice(orders.limit)) orders.byId.delete(gone.id);
  return order;
}

// The call was answered.  Its events may have been faster than the answer.
export function accepted(orders, order, { id, now }) {
  const early = orders.byId.get(id);
  order.id = id;
  order.state = 'pending';
  order.lines.push({
    title: 'Call answered', type: 'orders.v1.create', text: 'The hub passed it to the order service.',
    tone: 'done', at: now, since: now - order.began, trace: null,
  });
  if (early && early !== order) {
    orders.list = orders.list.filter((other) => other !== early);
    order.lines.push(...early.lines.map((line) => ({ ...line, since: line.at - order.began })));
    order.lines.sort((a, b) => a.at - b.at);
    order.seen = early.seen;
    order.trace = early.trace;
    if (early.state !== 'pending') order.state = early.state;
  }
  orders.byId.set(id, order);
}

export function refused(order, { code, message, now }) {
  order.state = 'refused';
  order.error = { code, message };
  order.lines.push({
    title: 'Call refused', type: 'orders.v1.create', text: `${message} (code ${code})`, tone: 'bad',
    at: now, since: now - order.began, trace: null,
  });
}

// An event of a live channel.  True when it said something new: recovery may bring it twice.
export function applyEvent(orders, event, { now, trace }) {
  const step = STEPS[event?.type];
  const id = event?.data?.order;
  if (!step || !id) return false;
  let order = orders.byId.get(id);
  if (!order) { // from another window of the same person, or faster than the answer
    order = begin(orders, { key: id, name: 'An order from another window', price: event.data.total ?? null, now });
    order.state = 'pending';
    order.id = id;
    orders.byId.set(id, order);
  }
  if (order.seen.has(event.id)) return false;
  order.seen.add(event.id);
  const { title, text, tone, state } = step(event.data);
  order.lines.push({ title, type: event.type, text, tone, at: now, since: now - order.began, trace });
  if (state) order.state = state;
  order.trace ??= trace;
  return true;
}

export const STATE_WORDS = {
  sending: 'Sending', pending: 'Waiting for payment', confirmed: 'Confirmed', cancelled: 'Cancelled',
  refused: 'Refused',
};
