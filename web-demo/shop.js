// Products, a card to pay with, and the button that begins an order.

import { byId, element, setText } from './dom.js';
import { count, money } from './format.js';

const SHOWN_FIRST = 6;
const RELOAD_MS = 15000; // at most so often after sales, for the stock

const inWords = (error) => ({
  1503: 'The order service is away.',
  1504: 'The order service did not answer in time.',
  104: 'This hub runs without the order service.',
  108: 'This hub runs without services.',
}[error.code] ?? error.message);

export function newKey() {
  return crypto.randomUUID?.() ?? Array.from(crypto.getRandomValues(new Uint8Array(16)),
    (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export function showShop(connection, auth, { onBuy }) {
  const list = byId('products');
  const state = byId('products-state');
  const more = byId('products-more');
  let products = [];
  let isAll = false;
  let reload = 0;

  function row(product) {
    const isOut = product.stock < 1;
    const buy = element('button', {
      type: 'button', className: 'buy', disabled: isOut,
      attributes: { 'aria-label': isOut ? `${product.name}: sold out` : `Buy ${product.name}` },
    }, isOut ? 'Sold out' : 'Buy');
    buy.addEventListener('click', () => {
      if (auth.person) onBuy(product, document.querySelector('input[name="card"]:checked').value);
      else askToLogIn();
    });
    return element('li', { dataset: { product: product.product } },
      element('span', { className: 'product-name' }, product.name),
      element('span', { className: 'product-stock' }, isOut ? 'none left' : `${count(product.stock)} in stock`),
      element('span', { className: 'product-price' }, money(product.price)),
      buy);
  }

  function draw() {
    const shown = isAll ? products : products.slice(0, SHOWN_FIRST);
    const focused = document.activeElement?.closest('#products li')?.dataset.product;
    list.replaceChildren(...shown.map(row));
    if (focused) list.querySelector(`[data-product="${CSS.escape(focused)}"] .buy`)?.focus();
    list.hidden = products.length === 0;
    more.hidden = products.length <= SHOWN_FIRST;
    setText(more, isAll ? 'Show fewer' : `Show all ${products.length}`);
  }

  async function load() {
    clearTimeout(reload);
    reload = 0;
    try {
      const { data } = await connection.rpc('products.v1.list', { limit: 100 });
      products = data.products;
      state.hidden = products.length > 0;
      setText(byId('products-state-title'), 'Nothing for sale');
      setText(byId('products-state-text'), 'The order service has no products. services/order/seed.sql has some.');
    } catch (error) {
      if (error.code < 100 && products.length > 0) return; // the connection went: it will be asked again
      products = [];
      state.hidden = false;
      setText(byId('products-state-title'), inWords(error));
      setText(byId('products-state-text'), error.code < 100 ? 'The list comes when the connection is back.'
        : `products.v1.list was answered with code ${error.code}.`);
    }
    byId('products-again').hidden = state.hidden;
    draw();
  }

  more.addEventListener('click', () => {
    isAll = !isAll;
    draw();
  });
  byId('products-again').addEventListener('click', load);
  connection.on('state', ({ name }) => {
    if (name === 'connected') load();
    if (name === 'disconnected' && products.length === 0) {
      setText(byId('products-state-title'), 'No products without a connection');
      setText(byId('products-state-text'), 'They are asked for over the socket.');
    }
  });
  return {
    stockMayHaveChanged() {
      reload ||= setTimeout(load, RELOAD_MS);
    },
  };
}

export function askToLogIn() {
  const card = byId('login');
  card.scrollIntoView({ block: 'center' });
  card.querySelector('button').focus({ preventScroll: true });
  card.dataset.asked = '';
  setTimeout(() => { delete card.dataset.asked; }, 1500);
}
