// The same in other languages: programs that do what the page just did, with the names of this very
// hub.  Pure: text from what happened.
//
// action: {kind: 'subscribe', channel}, {kind: 'publish', channel, data}, or
//         {kind: 'rpc', method, params, needsUser}
// place:  {http, ws, redisPort (number, null: no Redis, undefined: unknown), email, password}

const inShell = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const inC = (text) => `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`;
const inJs = (text) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
const compact = (value) => JSON.stringify(value);

function indented(value, spaces) {
  return JSON.stringify(value, null, 2).replaceAll('\n', `\n${' '.repeat(spaces)}`);
}

// Whoever copies it makes a call of their own: the key of this one would only repeat its answer.
const fresh = (params) => (params?.idempotency_key
  ? { ...params, idempotency_key: `again-${params.idempotency_key.slice(0, 8)}` } : params);

const loginBody = ({ email, password }) =>
  compact({ email: email ?? 'ann@example.com', password: password ?? 'your password' });

const tokenLines = (place) =>
  `TOKEN=$(curl -s -H 'Content-Type: application/json' -d ${inShell(loginBody(place))} \\
  ${place.http}/auth/login | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')`;

// Node has a WebSocket of its own from version 22 on.
const jsImport = `// npm install centrifuge        (Node before 22: ws too, and {websocket: WebSocket} below)
import { Centrifuge } from 'centrifuge';`;

const javascript = {
  subscribe: ({ channel }, { ws }) => `${jsImport}

const client = new Centrifuge(${inJs(ws)});
const subscription = client.newSubscription(${inJs(channel)});
subscription.on('publication', ({ data }) => console.log(data));
subscription.subscribe();
client.connect();`,

  rpc: ({ method, params, needsUser }, place) => `${jsImport}
${needsUser ? `
const login = await fetch(${inJs(`${place.http}/auth/login`)}, {
  method: 'POST',
  headers: { 'Content-Type': 'application/json' },
  body: JSON.stringify(${loginBody(place)}),
});
const { access_token: token } = await login.json();
` : ''}
const client = new Centrifuge(${inJs(place.ws)}${needsUser ? ', { token }' : ''});
client.connect();
const { data } = await client.rpc(${inJs(method)}, ${indented(fresh(params), 0)});
console.log(data);
client.disconnect();`,
};

const cHead = (file, more = '') => `/* cc ${file} $(pkg-config --cflags --libs wirehub)${more} */`;

const c = {
  subscribe: ({ channel }, { ws }) => `${cHead('hello.c')}
#include <stdio.h>
#include <unistd.h>
#include <wirehub/wirehub.h>

static void on_publication(struct wh_sub *sub, const struct wh_publication *p, void *user)
{
    (void)sub;
    (void)user;
    printf("%.*s\\n", (int)p->data.len, (const char *)p->data.ptr);
    fflush(stdout); /* in a pipe, too */
}

int main(void)
{
    struct wh_client *client = wh_client_open(${inC(ws)}, NULL);
    if (!client || !wh_client_subscribe(client, ${inC(channel)}, on_publication, NULL))
        return 1;
    pause();
}`,

  rpc: ({ method, params, needsUser }, { ws }) => `${cHead('call.c', needsUser ? '; TOKEN as under Shell' : '')}
#include <stdio.h>
${needsUser ? '#include <stdlib.h>\n' : ''}#include <wirehub/wirehub.h>

int main(void)
{
    struct wh_client_options options = WH_CLIENT_OPTIONS_INIT;
    struct wh_result *result;
    struct wh_error error;
${needsUser ? '\n    options.token = getenv("TOKEN");' : ''}
    struct wh_client *client = wh_client_open(${inC(ws)}, &options);
    if (!client)
        return 1;
    enum wh_err err = wh_client_rpc_sync(client, ${inC(method)},
        wh_json(${inC(compact(fresh(params)))}),
        5000, &result, &error);
    if (err) {
        fprintf(stderr, "%s\\n", error.text);
    } else {
        printf("%.*s\\n", (int)result->data.len, (const char *)result->data.ptr);
        wh_result_free(result);
    }
    wh_client_free(client);
    return err != WH_OK;
}`,
};

const shell = {
  subscribe: ({ channel }, { ws }) => `wh -u ${ws} sub ${inShell(channel)}`,
  rpc: ({ method, params, needsUser }, place) => {
    const json = inShell(compact(fresh(params)));
    const header = needsUser ? ' -H "Authorization: Bearer $TOKEN"' : '';
    return `${needsUser ? `${tokenLines(place)}\n\n` : ''}# over HTTP, with nothing but curl
curl -s${header} -H 'Content-Type: application/json' \\
  -d ${json} \\
  ${place.http}/rpc/${method}

# over the socket
wh -u ${place.ws}${needsUser ? ' -t "$TOKEN"' : ''} rpc ${method} \\
  ${json}`;
  },
};

function redisCli(action, { redisPort }) {
  if (redisPort === null) return null;
  const cli = redisPort ? `redis-cli -p ${redisPort}` : 'redis-cli';
  if (action.kind === 'publish') return `${cli} PUBLISH wh:ch:${action.channel} ${inShell(compact(action.data))}`;
  if (action.kind === 'subscribe') {
    return `# what the hub hears; it has the position and the payload
${cli} SUBSCRIBE wh:ch:${action.channel}`;
  }
  const service = action.method.split('.')[0];
  if (service === 'hub') return null;
  return `# who serves it, and how many calls wait
${cli} PUBSUB NUMSUB wh:rpc:alive:${service}
${cli} LLEN wh:rpc:${service}

# calls and answers are MessagePack: this shows them go by
${cli} MONITOR | grep --line-buffered wh:rpc:${service}`;
}

const NO_REDIS = 'This hub runs without Redis.';
const NOT_BY_REDIS = 'The hub answers this one by itself: nothing passes through Redis.';

// Each {text}, or {note}: why there is none.
export function snippets(action, place) {
  const redis = redisCli(action, place);
  if (action.kind === 'publish') { // what the page saw being published, by a service
    const note = `Clients may not publish to ${action.channel}: services do, through Redis.`;
    return {
      javascript: { note }, c: { note }, shell: { note },
      redis: redis === null ? { note: NO_REDIS } : { text: redis },
    };
  }
  return {
    javascript: { text: javascript[action.kind](action, place) },
    c: { text: c[action.kind](action, place) },
    shell: { text: shell[action.kind](action, place) },
    redis: redis === null ? { note: place.redisPort === null ? NO_REDIS : NOT_BY_REDIS }
      : { text: redis },
  };
}

export function titleOf(action) {
  if (action.kind === 'rpc') return `Call ${action.method}`;
  return `${action.kind === 'publish' ? 'Publish to' : 'Subscribe to'} ${action.channel}`;
}
