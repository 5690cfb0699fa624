// Who this window is.  The tokens are in memory; in sessionStorage only between two lives of the page, so
// that a reload stays logged in and a duplicated tab does not share a refresh token, which is
// good for one use.

import { createEmitter } from './emitter.js';

const KEY = 'wirehub-session';
const WORDS = {
  401: 'That address or password is wrong.',
  409: 'There is an account with that address already: log in instead.',
  429: 'Too many attempts. Wait a moment.',
  1503: 'The user service is away. Try again in a moment.',
  1504: 'The user service did not answer in time.',
  111: 'Many people are logging in. Try again in a moment.',
  104: 'This hub runs without the user service: there is nobody to log in to.',
  108: 'This hub runs without services: there is nobody to log in to.',
};

export class Refused extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

async function post(path, body) {
  let answer;
  try {
    answer = await fetch(path, {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body),
    });
  } catch {
    throw new Refused(0, 'The hub cannot be reached.');
  }
  const value = await answer.json().catch(() => null);
  if (answer.ok) return value;
  const code = value?.code ?? answer.status;
  throw new Refused(code, WORDS[code] ?? value?.message ?? `The hub answered ${answer.status}.`);
}

function take() {
  try {
    const text = sessionStorage.getItem(KEY);
    sessionStorage.removeItem(KEY);
    return text ? JSON.parse(text) : null;
  } catch {
    return null; // storage may be forbidden
  }
}

// Emits `change` (the person or null, and why) when another person is here.
export function createAuth({ UnauthorizedError }) {
  const { on, emit } = createEmitter();
  let session = take();
  let refreshing = null;

  const keep = (answer) => {
    session = {
      person: answer.user,
      access: answer.access_token,
      refresh: answer.refresh_token,
      expires: Date.now() + answer.expires_in * 1000,
    };
  };
  const enter = (answer) => {
    keep(answer);
    emit('change', session.person, '');
  };
  const leave = (why) => {
    session = null;
    emit('change', null, why);
  };

  addEventListener('pagehide', () => {
    try {
      if (session) sessionStorage.setItem(KEY, JSON.stringify(session));
    } catch {
      // then a reload logs out
    }
  });
  addEventListener('pageshow', (event) => { if (event.persisted) take(); });

  // One at a time: a refresh token is good for one use.
  function refresh() {
    refreshing ??= post('/auth/refresh', { refresh_token: session.refresh })
      .then(keep)
      .finally(() => { refreshing = null; });
    return refreshing;
  }

  async function getToken() {
    if (!session) throw new UnauthorizedError('');
    try {
      await refresh();
      return session.access;
    } catch (error) {
      if (error.code !== 401) throw error;
      leave('Your session has ended.');
      throw new UnauthorizedError('');
    }
  }

  return {
    on,
    get person() { return session?.person ?? null; },
    get identity() {
      return session ? { token: session.access, getToken } : { token: '', getToken: null };
    },
    login: async (email, password) => enter(await post('/auth/login', { email, password })),
    register: async ({ name, email, password }) =>
      enter(await post('/auth/register', { name, email, password })),
    async logout() {
      const { refresh: token } = session;
      leave('');
      await post('/auth/logout', { refresh_token: token }).catch(() => {}); // it expires by itself
    },
  };
}
