// The card to come in by: one press for the demo's people, a form for others.

import { byId, element } from './dom.js';
import { capital } from './format.js';

const PEOPLE = [{ name: 'Ann', email: 'ann@example.com' }, { name: 'Bob', email: 'bob@example.com' }];
// ./dev up says it to everybody.
export const DEMO_PASSWORD = new Map(PEOPLE.map(({ email }) => [email, 'demo password']));
const NEW_NAMES = ['Cleo', 'Dag', 'Elif', 'Finn', 'Gita', 'Hugo', 'Iris', 'Jun', 'Kaya', 'Leo', 'Mina',
  'Nils', 'Oda', 'Pia', 'Quim', 'Rosa', 'Sami', 'Tove', 'Uma', 'Vito', 'Wren', 'Yuki', 'Zoe'];

const randomHex = (length) => Array.from(crypto.getRandomValues(new Uint8Array(length)),
  (byte) => byte.toString(16).padStart(2, '0')).join('');

function someoneNew() {
  const name = NEW_NAMES[crypto.getRandomValues(new Uint8Array(1))[0] % NEW_NAMES.length];
  return { name, email: `${name.toLowerCase()}-${randomHex(4)}@example.com`, password: randomHex(12) };
}

export function showLogin(auth) {
  const card = byId('login');
  const problem = byId('login-problem');
  const form = byId('login-form');
  const submit = byId('login-submit');
  let isBusy = false;

  async function attempt(button, action) {
    if (isBusy) return;
    isBusy = true;
    problem.hidden = true;
    button.setAttribute('aria-busy', 'true');
    try {
      await action();
      form.reset();
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
    } finally {
      isBusy = false;
      button.removeAttribute('aria-busy');
    }
  }

  const quick = byId('login-quick');
  for (const [index, { name, email }] of PEOPLE.entries()) {
    const button = element('button', { type: 'button', className: index === 0 ? 'primary' : '' }, `As ${name}`);
    button.addEventListener('click', () => attempt(button, () => auth.login(email, DEMO_PASSWORD.get(email))));
    quick.append(button);
  }
  const fresh = element('button', { type: 'button' }, 'As someone new');
  fresh.addEventListener('click', () => attempt(fresh, () => auth.register(someoneNew())));
  quick.append(fresh);

  const isRegistering = () => form.elements.mode.value === 'register';
  form.addEventListener('change', () => {
    byId('login-name-row').hidden = !isRegistering();
    form.elements.name.required = isRegistering();
    form.elements.password.autocomplete = isRegistering() ? 'new-password' : 'current-password';
    submit.textContent = isRegistering() ? 'Create the account' : 'Log in';
  });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const { name, email, password } = form.elements;
    attempt(submit, () => (isRegistering()
      ? auth.register({ name: name.value.trim(), email: email.value.trim(), password: password.value })
      : auth.login(email.value.trim(), password.value)));
  });

  byId('logout').addEventListener('click', () => auth.logout());
  return {
    show(person, why) {
      const hadFocus = card.contains(document.activeElement);
      card.hidden = person !== null;
      byId('me').hidden = person === null;
      byId('me-name').textContent = capital(person?.name ?? '');
      problem.hidden = !why;
      problem.textContent = why;
      document.documentElement.dataset.person = person ? 'known' : 'guest';
      if (person && hadFocus) byId('shop').focus({ preventScroll: true });
    },
  };
}
