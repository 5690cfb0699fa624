// Puts the parts together: who is here, one connection, and the panels that listen to it.

import { createAuth } from './auth.js';
import { UnauthorizedError } from './centrifuge.js';
import { createConnection, endpoint } from './connection.js';
import { showCounters } from './counters.js';
import { byId } from './dom.js';
import { showInspector } from './inspector.js';
import { showKill } from './kill.js';
import { showLedger } from './ledger_view.js';
import { showLoad } from './load.js';
import { DEMO_PASSWORD, showLogin } from './login.js';
import { showOrders } from './orders.js';
import { showPresence } from './presence.js';
import { showServiceMap } from './service_map.js';
import { setup } from './setup.js';
import { showShop } from './shop.js';
import { showSnippets } from './snippets_view.js';
import { showStatus } from './status.js';
import { showTicker } from './ticker.js';

export function start() {
  const url = endpoint(location);
  const auth = createAuth({ UnauthorizedError });
  const connection = createConnection(url);
  const status = showStatus(connection);
  const login = showLogin(auth);
  const snippets = showSnippets(() => ({
    http: location.origin, ws: url, redisPort: setup.redis_port, email: auth.person?.email,
    password: DEMO_PASSWORD.has(auth.person?.email) ? DEMO_PASSWORD.get(auth.person.email) : undefined,
  }));
  const onCall = (action) => snippets.happened(action);

  showInspector(connection);
  const orders = showOrders(connection, { onCall, traceUrl: setup.trace_url });
  const shop = showShop(connection, auth, { onBuy: orders.buy });
  showTicker(connection, {
    onSale(data) {
      snippets.noticed({ kind: 'publish', channel: 'market:ticker', data });
      shop.stockMayHaveChanged();
    },
  });
  const load = showLoad(connection, auth, { onCall });
  showLedger(connection, { onPublication: load.ledgerPublication });
  const map = showServiceMap(connection);
  showCounters(connection, { onRate: load.actualRate, onStats: map.heard });
  showPresence(connection, auth);
  showKill(connection, auth,
    { onCall, onRoundTrip: status.roundTrip, onWorker: (worker) => map.heard({ worker }) });

  auth.on('change', (person, why) => {
    login.show(person, why);
    orders.forget();
    snippets.placeChanged();
    connection.use(auth.identity);
  });
  login.show(auth.person, '');
  byId('main').hidden = false;
  connection.start(auth.identity);
}
