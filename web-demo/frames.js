// What a frame says, in a line; and whether it belongs to a stream that would drown the others.  Pure.

const REQUESTS = ['connect', 'subscribe', 'unsubscribe', 'publish', 'presence', 'presence_stats',
  'history', 'rpc', 'send', 'refresh', 'sub_refresh'];

const clip = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);

function describeRequest(name, body) {
  if (name === 'rpc') return `rpc ${body.method}`;
  return body?.channel ? `${name} ${body.channel}` : name;
}

function describePush(push, memory) {
  const channel = channelOf(push, memory);
  if (push.pub) return `push ${channel}${push.pub.offset ? ` #${push.pub.offset}` : ''}`;
  const kind = Object.keys(push).find((key) => key !== 'channel' && key !== 'id') ?? 'nothing';
  return `${kind} ${channel}`;
}

// Replies do not repeat what was asked, and pushes may have a number in place of the channel's name.  A
// memory has both: ids of commands → what they ask, numbers → channels.
export function createMemory() {
  return { asked: new Map(), subscribing: new Map(), channels: new Map() };
}

export function remember(memory, { messages, direction }, limit = 500) {
  for (const message of messages) {
    if (direction === 'out') {
      const name = REQUESTS.find((key) => message[key]);
      if (!message.id || !name) continue;
      if (name === 'connect') memory.channels.clear(); // numbers are a connection's own
      if (name === 'subscribe') memory.subscribing.set(message.id, message.subscribe.channel);
      memory.asked.set(message.id, describeRequest(name, message[name]));
      for (const map of [memory.asked, memory.subscribing]) {
        if (map.size > limit) map.delete(map.keys().next().value);
      }
    } else if (message.subscribe?.id && memory.subscribing.has(message.id)) {
      memory.channels.set(message.subscribe.id, memory.subscribing.get(message.id));
    }
  }
}

export const channelOf = (push, memory) =>
  push.channel ?? memory?.channels.get(push.id) ?? `channel ${push.id}`;

export function describeMessage(message, direction, memory = createMemory()) {
  if (direction === 'out') {
    const name = REQUESTS.find((key) => message[key]);
    return name ? describeRequest(name, message[name]) : 'pong';
  }
  if (message.push) return describePush(message.push, memory);
  if (!message.id) return 'ping';
  const what = memory.asked.get(message.id) ??
    Object.keys(message).find((key) => key !== 'id' && key !== 'error') ?? 'command';
  if (message.error) return `error ${message.error.code}: ${what}`;
  return `reply: ${what}`;
}

export function describeFrame({ messages, direction }, memory) {
  const [first, ...rest] = messages;
  if (!first) return 'empty';
  const text = clip(describeMessage(first, direction, memory), 80);
  return rest.length ? `${text} and ${rest.length} more` : text;
}

// Only publications of these channels, or pings and pongs: counted, not listed.
export function isNoise(messages, noisyChannels, memory) {
  return messages.every((message) => {
    if (message.push) return Boolean(message.push.pub) && noisyChannels.has(channelOf(message.push, memory));
    return !message.id && !REQUESTS.some((key) => message[key]);
  });
}

// Secrets are not for a screen that somebody films.
export function withoutSecrets(value) {
  return JSON.parse(JSON.stringify(value, (key, inner) =>
    (/^(token|access_token|refresh_token|password)$/.test(key) && typeof inner === 'string' && inner
      ? `${inner.slice(0, 6)}… (${inner.length} characters)` : inner)));
}
