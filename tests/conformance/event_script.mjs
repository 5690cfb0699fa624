// event_script: a client that does what it reads and prints what happens to it, so that two client
// libraries can be compared.  This is the one with the official centrifuge-js; a program of the same
// name and format stands on our own library.  tests/support/event_scripts.py drives both.
//
//     node event_script.mjs          commands on standard input, events on standard output
//
// INPUT.  One JSON object a line, done in order.  Every member but "do" and "client" may be left
// out; unknown members are ignored.  "client" is a name that the script gave it.
//
//   {"do":"client","client":"a","url":"ws://…","encoding":"json"|"protobuf"|"msgpack",
//    "token":T,"tokens":[…],"data":D,"timeout_ms":N,"connect_timeout_ms":N,
//    "min_reconnect_ms":N,"max_reconnect_ms":N,"max_server_ping_delay_ms":N}
//                                                      makes a client, does not connect it (here
//                                                      timeout_ms is for connecting too)
//   {"do":"connect"} {"do":"disconnect"}
//   {"do":"subscription","channel":C,"token":T,"tokens":[…],"recoverable":B,"positioned":B,
//    "join_leave":B,"since":{"offset":N,"epoch":E},"data":D,"min_resubscribe_ms":N,
//    "max_resubscribe_ms":N}                           makes a subscription, does not subscribe it
//                     (event_script.c knows more, for support/recovery_run.py: "delta":B; "leave_every":N,
//                     every Nth publication's callback unsubscribes and subscribes, "linger_ms":N in it;
//                     and for a client "positions":B, which adds epochs and wh_sub_position, "stored")
//   {"do":"subscribe","channel":C} {"do":"unsubscribe","channel":C}
//   {"do":"remove","channel":C}                        frees a subscription that is unsubscribed
//   {"do":"publish","channel":C,"data":D} {"do":"rpc","method":M,"data":D} {"do":"send","data":D}
//   {"do":"history","channel":C,"limit":N,"since":{"offset":N,"epoch":E},"reverse":B}
//   {"do":"presence","channel":C} {"do":"presence_stats","channel":C}
//                                                      calls of the client; "as" names the reply
//   {"do":"end"}                                       no more output, close everything, exit 0
//
// "tokens" is what a token callback answers, one for each time it is asked, the last one for ever:
// a string is the token, null is "unauthorized", {"error":"text"} is a failure to get one.  Without
// "tokens" there is no callback.  Data (D) is any JSON; in Protobuf the payload is that JSON as text.
//
// OUTPUT.  One JSON object a line.  First an acknowledgement of each command when the function has
// returned, {"done":"connect"}; then and in between the events, in the order in which the library
// calls back.  Members in any order; a member that has no value is left out (never null, but in
// "data"); no times, no client ids, no epochs.  "client" is always there.
//
//   {"event":"connecting","code":N,"reason":S}         {"event":"connected","data":D}
//   {"event":"disconnected","code":N,"reason":S}       {"event":"error","code":N,"text":S}
//   {"event":"message","data":D}                       {"event":"get_token"} (+ "channel")
//   {"event":"subscribing","channel":C,"code":N,"reason":S}
//   {"event":"subscribed","channel":C,"recoverable":B,"positioned":B,"was_recovering":B,
//    "recovered":B,"offset":N,"data":D}                "offset" when positioned or recoverable
//   {"event":"unsubscribed","channel":C,"code":N,"reason":S}
//   {"event":"publication","channel":C,"data":D,"offset":N,"tags":{…},"user":S}
//                                                      "offset" when it is not 0, "user" when a
//                                                      client published it
//   {"event":"join","channel":C,"user":S}              {"event":"leave","channel":C,"user":S}
//   {"event":"error","channel":C,"code":N,"text":S}    of a subscription; "text" is for people and
//                                                      is not compared
//   server_subscribing, server_subscribed, server_unsubscribed, server_publication, server_join,
//   server_leave                                       as above, of server-side subscriptions;
//                                                      _subscribing and _unsubscribed have no code
//
// The reply of a call is printed once; "code" of a failure is the server's, or one below 100 of the
// client itself: 1 timed out, 2 transport closed, 3 client disconnected, 4 client closed,
// 11 connection lost while it was on its way.
//
//   {"reply":"rpc","as":S,"data":D}                    {"reply":"publish","as":S}
//   {"reply":"history","as":S,"offset":N,"publications":[{"data":D,"offset":N,"tags":{…}},…]}
//   {"reply":"presence","as":S,"users":[…]}            sorted, one for each connection
//   {"reply":"presence_stats","as":S,"clients":N,"users":N}
//   {"reply":"rpc","as":S,"code":N,"temporary":B}      a failure of any of them
//
// A command that cannot be done as written prints {"fatal":"why"} and ends the program with status 2.

import { Centrifuge, UnauthorizedError } from 'centrifuge';
import {
  Centrifuge as ProtobufCentrifuge, UnauthorizedError as ProtobufUnauthorizedError,
} from 'centrifuge/build/protobuf';
import readline from 'node:readline';
import WebSocket from 'ws';

const clients = new Map();
let isEnding = false;

// centrifuge-js lets some failures of its own end as unhandled rejections; a browser goes on then.
process.on('unhandledRejection', () => {});

function print(line) {
  if (!isEnding) process.stdout.write(`${JSON.stringify(line)}\n`);
}

const CODECS = {
  json: { pack: (data) => data, unpack: (data) => data, Client: Centrifuge, Unauthorized: UnauthorizedError },
  protobuf: {
    pack: (data) => new TextEncoder().encode(JSON.stringify(data)),
    unpack: (data) => {
      const text = new TextDecoder().decode(data);
      return text === '' ? undefined : JSON.parse(text);
    },
    Client: ProtobufCentrifuge,
    Unauthorized: ProtobufUnauthorizedError,
  },
};

// Members without a value go.
const only = (object) =>
  Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined && value !== null));

const withData = (object, data, codec) => {
  const value = data === undefined || data === null ? undefined : codec.unpack(data);
  return value === undefined ? only(object) : { ...only(object), data: value };
};

function tokenGetter(tokens, codec, event) {
  if (!tokens) return null;
  const left = [...tokens];
  return async () => {
    print(event);
    const answer = left.length > 1 ? left.shift() : left[0];
    if (answer === null) throw new codec.Unauthorized('scripted');
    if (answer.error) throw new Error(answer.error);
    return answer;
  };
}

function makeClient(command) {
  const { client: name } = command;
  const codec = CODECS[command.encoding ?? 'json'];
  if (!codec) throw new Error(`no encoding ${command.encoding}`);
  const client = new codec.Client(command.url, only({
    websocket: WebSocket,
    token: command.token,
    getToken: tokenGetter(command.tokens, codec, { client: name, event: 'get_token' }),
    data: command.data === undefined ? undefined : codec.pack(command.data),
    timeout: command.timeout_ms,
    minReconnectDelay: command.min_reconnect_ms,
    maxReconnectDelay: command.max_reconnect_ms,
    maxServerPingDelay: command.max_server_ping_delay_ms,
  }));
  const emit = (event, members, data) =>
    print(withData({ client: name, event, ...members }, data, codec));
  client.on('connecting', ({ code, reason }) => emit('connecting', { code, reason }));
  client.on('connected', ({ data }) => emit('connected', {}, data));
  client.on('disconnected', ({ code, reason }) => emit('disconnected', { code, reason }));
  client.on('error', ({ error }) => emit('error', { code: error.code, text: error.message }));
  client.on('message', ({ data }) => emit('message', {}, data));
  observe(client, emit, 'server_');
  clients.set(name, { client, codec, emit });
}

// What client and server-side subscriptions have in common.
function observe(source, emit, prefix) {
  const members = ({ channel, code, reason }) => ({ channel, code, reason });
  source.on('subscribing', (context) => emit(`${prefix}subscribing`, members(context)));
  source.on('unsubscribed', (context) => emit(`${prefix}unsubscribed`, members(context)));
  source.on('subscribed', (context) => emit(`${prefix}subscribed`, {
    channel: context.channel,
    recoverable: context.recoverable,
    positioned: context.positioned,
    was_recovering: context.wasRecovering,
    recovered: context.recovered,
    offset: context.streamPosition?.offset,
  }, context.data));
  source.on('publication', ({ channel, data, offset, tags, info }) =>
    emit(`${prefix}publication`, { channel, offset: offset || undefined, tags: someTags(tags), user: info?.user }, data));
  for (const name of ['join', 'leave']) {
    source.on(name, ({ channel, info }) => emit(`${prefix}${name}`, { channel, user: info.user }));
  }
}

const someTags = (tags) => (tags && Object.keys(tags).length > 0 ? tags : undefined);

function makeSubscription({ client, codec, emit }, command) {
  const { channel } = command;
  const event = { client: command.client, event: 'get_token', channel };
  const subscription = client.newSubscription(channel, only({
    token: command.token,
    getToken: tokenGetter(command.tokens, codec, event),
    data: command.data === undefined ? undefined : codec.pack(command.data),
    recoverable: command.recoverable,
    positioned: command.positioned,
    joinLeave: command.join_leave,
    since: command.since,
    minResubscribeDelay: command.min_resubscribe_ms,
    maxResubscribeDelay: command.max_resubscribe_ms,
  }));
  observe(subscription, emit, '');
  subscription.on('error', ({ error }) =>
    emit('error', { channel, code: error.code, text: error.message }));
}

function subscriptionOf({ client }, channel) {
  const subscription = client.getSubscription(channel);
  if (!subscription) throw new Error(`no subscription ${channel}`);
  return subscription;
}

const CALLS = {
  publish: ({ client, codec }, { channel, data }) => client.publish(channel, codec.pack(data)),
  rpc: ({ client, codec }, { method, data }) => client.rpc(method, codec.pack(data)),
  send: ({ client, codec }, { data }) => client.send(codec.pack(data)),
  history: ({ client }, { channel, limit, since, reverse }) =>
    client.history(channel, only({ limit, since, reverse })),
  presence: ({ client }, { channel }) => client.presence(channel),
  presence_stats: ({ client }, { channel }) => client.presenceStats(channel),
};

const RESULTS = {
  rpc: ({ data }, codec) => withData({}, data, codec),
  history: ({ offset, publications }, codec) => ({
    offset,
    publications: publications.map(({ data, offset: own, tags }) =>
      withData({ offset: own || undefined, tags: someTags(tags) }, data, codec)),
  }),
  presence: (result) => ({ users: Object.values(result.clients).map(({ user }) => user).sort() }),
  presence_stats: ({ numClients, numUsers }) => ({ clients: numClients, users: numUsers }),
};

function call(entry, command) {
  const head = { client: command.client, reply: command.do, as: command.as };
  CALLS[command.do](entry, command).then(
    (result) => print({ ...head, ...RESULTS[command.do]?.(result, entry.codec) }),
    ({ code, temporary }) => print({ ...head, code, temporary: temporary ?? false }),
  );
}

const VERBS = {
  connect: ({ client }) => client.connect(),
  disconnect: ({ client }) => client.disconnect(),
  subscription: makeSubscription,
  subscribe: (entry, { channel }) => subscriptionOf(entry, channel).subscribe(),
  unsubscribe: (entry, { channel }) => subscriptionOf(entry, channel).unsubscribe(),
  remove: (entry, { channel }) => entry.client.removeSubscription(subscriptionOf(entry, channel)),
};

function execute(command) {
  if (command.do === 'client') return makeClient(command);
  const entry = clients.get(command.client);
  if (!entry) throw new Error(`no client ${command.client}`);
  if (CALLS[command.do]) return call(entry, command);
  if (!VERBS[command.do]) throw new Error(`no command ${command.do}`);
  return VERBS[command.do](entry, command);
}

// Servers that do not answer a close frame are not waited for.
function end() {
  isEnding = true;
  for (const { client } of clients.values()) client.disconnect();
  process.stdout.write('', () => process.exit());
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  try {
    const command = JSON.parse(line);
    if (command.do === 'end') break;
    execute(command);
    print({ done: command.do });
  } catch (error) {
    print({ fatal: error.message });
    process.exitCode = 2;
    break;
  }
}
end();
