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

  publish: ({ channel, data }, { ws }) => `${jsImport}

const client = new Centrifuge(${inJs(ws)});
client.connect();
await client.ready();
await client.publish(${inJs(channel)}, ${indented(data, 0)});
client.disconnect();`,

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

const c = {
  subscribe: ({ channel }, { ws }) => `/* cc hello.c $(pkg-config --cflags --libs wirehub) */
#include <stdio.h>
#include <unistd.h>
#include <wirehub/client.h>

static void on_publication(struct wh_sub *sub, const struct wh_publication *p, void *user)
{
    (void)sub;
    (void)user;
    printf("%.*s\\n", (int)p->data.len, (const char *)p->data.ptr);
}

int main(void)
{
    struct wh_client *client = wh_client_open(${inC(ws)}, NULL);
    if (!client || !wh_client_subscribe(client, ${inC(channel)}, on_publication, NULL))
        return 1;
    pause();
}`,

  rpc: ({ method, params, needsUser }, { ws }) => `/* cc call.c $(pkg-config --cflags --libs wirehub)${needsUser ? '; TOKEN: see Shell' : ''} */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wirehub/client.h>

int main(void)
{
    const char *json = ${inC(compact(fresh(params)))};
    struct wh_client_options options = WH_CLIENT_OPTIONS_INIT;
    struct wh_reply *reply = NULL;
    struct wh_error error = {0};
${needsUser ? '    options.token = getenv("TOKEN");\n' : ''}    struct wh_client *client = wh_client_open(${inC(ws)}, &options);
    if (!client)
        return 1;
    if (wh_client_rpc_sync(client, ${inC(method)}, (struct wh_data){json, strlen(json)}, 5000, &reply, &error))
        fprintf(stderr, "%s\\n", error.text);
    else
        printf("%.*s\\n", (int)wh_reply_data(reply).len, (const char *)wh_reply_data(reply).ptr);
    wh_reply_free(reply);
    wh_client_free(client);
}`,
};

const shell = {
  subscribe: ({ channel }, { ws }) => `wh -u ${ws} sub ${inShell(channel)}`,
  publish: ({ channel, data }, { ws }) => `wh -u ${ws} pub ${inShell(channel)} ${inShell(compact(data))}`,
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

const NOTES = {
  c: { publish: 'The C client publishes with wh_client_publish; the page did not publish over its socket.' },
  redis: {
    rpc: 'The hub answers this one by itself: nothing passes through Redis.',
    other: 'This hub runs without Redis.',
  },
};

// Each {text} or {note}: why there is none.
export function snippets(action, place) {
  const wrap = (make, note) => (make ? { text: make(action, place) } : { note });
  const redis = redisCli(action, place);
  return {
    javascript: wrap(javascript[action.kind]),
    c: wrap(c[action.kind], NOTES.c[action.kind]),
    shell: wrap(shell[action.kind]),
    redis: redis === null
      ? { note: place.redisPort === null ? NOTES.redis.other : NOTES.redis.rpc } : { text: redis },
  };
}

export function titleOf(action) {
  if (action.kind === 'rpc') return `Call ${action.method}`;
  return `${action.kind === 'publish' ? 'Publish to' : 'Subscribe to'} ${action.channel}`;
}
