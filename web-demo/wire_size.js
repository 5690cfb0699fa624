// How long a message of the protocol is in each encoding.  Pure.
//
// JSON and MessagePack are what their encoders write.  Protobuf is arithmetic over the field numbers of the
// Centrifuge protocol: the library that writes it is ten times this page.  A test compares it
// with that library.

const utf8 = new TextEncoder();
const bytesOf = (text) => utf8.encode(text).length;

// field: [number, type], type: s string, j payload (its JSON text), v varint, z zigzag varint, b bool, or
// a message; [type] repeated, {of: type} map from strings.
const error = { code: [1, 'v'], message: [2, 's'], temporary: [3, 'b'] };
const clientInfo = { user: [1, 's'], client: [2, 's'], conn_info: [3, 'j'], chan_info: [4, 'j'] };
const publication = {
  data: [4, 'j'], info: [5, clientInfo], offset: [6, 'v'], tags: [7, { of: 's' }], delta: [8, 'b'],
  time: [9, 'v'], channel: [10, 's'], key: [11, 's'], removed: [12, 'b'], score: [13, 'z'],
  epoch: [14, 's'], prev_data: [15, 'j'], version: [16, 'v'],
};
const position = { offset: [1, 'v'], epoch: [2, 's'] };
const none = {};
const filter = { op: [1, 's'], key: [2, 's'], cmp: [3, 's'], val: [4, 's'], vals: [5, ['s']] };
filter.nodes = [6, [filter]];
const subscribeRequest = {
  channel: [1, 's'], token: [2, 's'], recover: [3, 'b'], epoch: [6, 's'], offset: [7, 'v'], data: [8, 'j'],
  positioned: [9, 'b'], recoverable: [10, 'b'], join_leave: [11, 'b'], delta: [12, 's'], tf: [13, filter],
  flag: [14, 'v'], type: [15, 'v'], phase: [16, 'v'], cursor: [17, 's'], limit: [18, 'v'], asc: [19, 'b'],
};
const subscribeResult = {
  expires: [1, 'b'], ttl: [2, 'v'], recoverable: [3, 'b'], epoch: [6, 's'],
  publications: [7, [publication]], recovered: [8, 'b'], offset: [9, 'v'], positioned: [10, 'b'],
  data: [11, 'j'], was_recovering: [12, 'b'], delta: [13, 'b'], id: [14, 'v'],
};
const connection = {
  client: [1, 's'], version: [2, 's'], expires: [3, 'b'], ttl: [4, 'v'], data: [5, 'j'],
  subs: [6, { of: subscribeResult }], ping: [7, 'v'], pong: [8, 'b'], session: [9, 's'],
  node: [10, 's'], time: [11, 'v'], flag: [12, 'v'],
};
const connectPush = {
  client: [1, 's'], version: [2, 's'], data: [3, 'j'], subs: [4, { of: subscribeResult }],
  expires: [5, 'b'], ttl: [6, 'v'], ping: [7, 'v'], pong: [8, 'b'], session: [9, 's'],
  node: [10, 's'], time: [11, 'v'],
};
const refreshResult = { client: [1, 's'], version: [2, 's'], expires: [3, 'b'], ttl: [4, 'v'] };

const command = {
  id: [1, 'v'],
  connect: [4, {
    token: [1, 's'], data: [2, 'j'], subs: [3, { of: subscribeRequest }], name: [4, 's'],
    version: [5, 's'], headers: [6, { of: 's' }], flag: [7, 'v'],
  }],
  subscribe: [5, subscribeRequest],
  unsubscribe: [6, { channel: [1, 's'] }],
  publish: [7, { channel: [1, 's'], data: [2, 'j'] }],
  presence: [8, { channel: [1, 's'] }],
  presence_stats: [9, { channel: [1, 's'] }],
  history: [10, { channel: [1, 's'], limit: [7, 'v'], since: [8, position], reverse: [9, 'b'] }],
  ping: [11, none],
  send: [12, { data: [1, 'j'] }],
  rpc: [13, { data: [1, 'j'], method: [2, 's'] }],
  refresh: [14, { token: [1, 's'] }],
  sub_refresh: [15, { channel: [1, 's'], token: [2, 's'] }],
};

const reply = {
  id: [1, 'v'],
  error: [2, error],
  push: [4, {
    id: [1, 'v'], channel: [2, 's'], pub: [4, publication], join: [5, { info: [1, clientInfo] }],
    leave: [6, { info: [1, clientInfo] }], unsubscribe: [7, { code: [2, 'v'], reason: [3, 's'] }],
    message: [8, { data: [1, 'j'] }],
    subscribe: [9, {
      recoverable: [1, 'b'], epoch: [4, 's'], offset: [5, 'v'], positioned: [6, 'b'], data: [7, 'j'],
    }],
    connect: [10, connectPush],
    disconnect: [11, { code: [1, 'v'], reason: [2, 's'], reconnect: [3, 'b'] }],
    refresh: [12, { expires: [1, 'b'], ttl: [2, 'v'] }],
  }],
  connect: [5, connection],
  subscribe: [6, subscribeResult],
  unsubscribe: [7, none],
  publish: [8, none],
  presence: [9, { presence: [1, { of: clientInfo }] }],
  presence_stats: [10, { num_clients: [1, 'v'], num_users: [2, 'v'] }],
  history: [11, { publications: [1, [publication]], epoch: [2, 's'], offset: [3, 'v'] }],
  ping: [12, none],
  rpc: [13, { data: [1, 'j'] }],
  refresh: [14, refreshResult],
  sub_refresh: [15, { expires: [1, 'b'], ttl: [2, 'v'] }],
};

export function varintSize(value) {
  if (value < 0) return 10; // as 64 bits, whatever it is
  let size = 1;
  for (let rest = Number(value); rest >= 128; rest /= 128) size += 1;
  return size;
}

const prefixed = (size) => varintSize(size) + size;

function fieldSize(number, type, value) {
  const tag = varintSize(number * 8);
  if (Array.isArray(type)) {
    return value.reduce((sum, item) => sum + tag +
      prefixed(type[0] === 's' ? bytesOf(item) : messageSize(type[0], item)), 0);
  }
  if (type === 'v') return value ? tag + varintSize(value) : 0;
  if (type === 'z') return value ? tag + varintSize(value < 0 ? -2 * value - 1 : 2 * value) : 0;
  if (type === 'b') return value ? tag + 1 : 0;
  if (type === 's') return value ? tag + prefixed(bytesOf(value)) : 0;
  if (type === 'j') return tag + prefixed(bytesOf(JSON.stringify(value)));
  if (type.of) {
    return Object.entries(value).reduce((sum, [key, item]) => {
      const inner = fieldSize(1, 's', key) + (type.of === 's' ? fieldSize(2, 's', item)
        : 1 + prefixed(messageSize(type.of, item)));
      return sum + tag + prefixed(inner);
    }, 0);
  }
  return tag + prefixed(messageSize(type, value));
}

function messageSize(schema, message) {
  let size = 0;
  for (const [name, value] of Object.entries(message)) {
    if (schema[name] && value !== undefined && value !== null) {
      size += fieldSize(schema[name][0], schema[name][1], value);
    }
  }
  return size;
}

export function protobufSize(messages, direction) {
  const schema = direction === 'out' ? command : reply;
  return messages.reduce((sum, message) => sum + prefixed(messageSize(schema, message)), 0);
}

export function jsonSize(messages) {
  return messages.reduce((sum, message) => sum + bytesOf(JSON.stringify(message)), 0) +
    Math.max(0, messages.length - 1);
}

export function msgpackSize(messages, encode) {
  return messages.reduce((sum, message) =>
    sum + encode(message, { ignoreUndefined: true }).length, 0);
}

// All three for one frame; `encode` is MessagePack's, without it that size is null.
export function frameSizes({ messages, direction }, encode) {
  return {
    json: jsonSize(messages),
    protobuf: protobufSize(messages, direction),
    msgpack: encode ? msgpackSize(messages, encode) : null,
  };
}
