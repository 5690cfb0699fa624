// Who is here: the presence of a lobby, kept up to date by joins and leaves.

import { byId, element, framed, setText } from './dom.js';
import { capital, plural } from './format.js';

const LOBBY = 'demo:lobby';
const SHOWN_MAX = 8;
const TINTS = 6;
const AWAY = 'Who is here comes back with the connection.';
const NOT_TOLD = 'This hub does not tell who is here.';

// Clients → people: connections of one user are one person, guests are counted.  Pure.
export function peopleOf(clients, ownUser) {
  const people = new Map();
  let guests = 0;
  for (const { user, name } of clients.values()) {
    if (!user) guests += 1;
    else people.set(user, { user, name: name ?? 'Somebody', isYou: user === ownUser });
  }
  const list = [...people.values()].sort((a, b) =>
    Number(b.isYou) - Number(a.isYou) || a.name.localeCompare(b.name));
  return { list, guests };
}

// "You, Bob and 2 guests are here."  Pure.
export function inWords({ list, guests }, isGuest) {
  const names = list.slice(0, 3).map((person) => (person.isYou ? 'You' : capital(person.name)));
  if (list.length > 3) names.push(`${plural(list.length - 3, 'other', 'others')}`);
  const others = isGuest ? guests - 1 : guests;
  if (isGuest) names.push('you');
  if (others > 0) names.push(plural(others, 'guest'));
  if (names.length === 0) return 'Nobody is here yet.';
  const text = names.length === 1 ? names[0]
    : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
  const verb = names.length === 1 && text !== 'You' && text !== 'you' && list.length === 1 ? 'is' : 'are';
  return `${capital(text)} ${verb} here.`;
}

function tint(user) {
  let hash = 0;
  for (const character of user) hash = (hash * 31 + character.codePointAt(0)) % 9973;
  return hash % TINTS;
}

export function showPresence(connection, auth) {
  const clients = new Map();
  const list = byId('people');
  const words = byId('people-text');

  const draw = framed(() => {
    const people = peopleOf(clients, auth.person?.id);
    const chips = people.list.slice(0, SHOWN_MAX).map((person) => element('li',
      { className: 'person', dataset: { tint: tint(person.user), you: person.isYou } },
      element('span', { className: 'initial', attributes: { 'aria-hidden': 'true' } },
        capital(person.name).charAt(0)),
      element('span', {}, person.isYou ? `${capital(person.name)} (you)` : capital(person.name))));
    const rest = people.list.length - SHOWN_MAX;
    if (rest > 0) chips.push(element('li', { className: 'person more' }, `+${rest}`));
    if (people.guests > 0) {
      chips.push(element('li', { className: 'person guests' }, plural(people.guests, 'guest')));
    }
    list.replaceChildren(...chips);
    setText(words, inWords(people, auth.person === null));
  });

  const put = ({ client, user, connInfo }) => {
    clients.set(client, { user, name: connInfo?.name });
    draw();
  };
  connection.on('state', ({ name }) => {
    if (name === 'reconnecting') setText(words, AWAY);
    if (name !== 'disconnected') return;
    clients.clear();
    list.replaceChildren();
    setText(words, 'Not connected.');
  });
  connection.subscribe(LOBBY, {
    async subscribed() {
      const { clients: present } = await connection.presence(LOBBY).catch(() => ({ clients: null }));
      if (present === null) {
        setText(words, NOT_TOLD);
        return;
      }
      clients.clear();
      Object.values(present).forEach(put);
      draw();
    },
    join: ({ info }) => put(info),
    leave: ({ info }) => {
      clients.delete(info.client);
      draw();
    },
    unsubscribed: () => {
      clients.clear();
      setText(words, NOT_TOLD);
    },
  }, { joinLeave: true });
}
