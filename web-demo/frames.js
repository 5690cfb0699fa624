// What a frame says, in a line; and whether it belongs to a stream that would drown the others.  Pure.

const REQUESTS = ['connect', 'subscribe', 'unsubscribe', 'publish', 'presence', 'presence_stats',
  'history', 'rpc', 'send', 'refresh', 'sub_refresh'];

const clip = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);

function describeRequest(name, body) {
  if (name === 'rpc') return `rpc ${body.method}`;
  return body?.channel ? `${name} ${body.channel}` : name;
}

function describePush(push) {
  if (push.pub) return `push ${push.channel}${push.pub.offset ? ` #${push.pub.offset}` : ''}`;
  const kind = Object.keys(push).find((key) => key !== 'channel' && key !== 'id') ?? 'nothing';
  return `${kind} ${push.channel ?? ''}`.trim();
}

// `asked` maps ids to what was asked under them, for replies do not repeat it.
export function describeMessage(message, direction, asked = new Map()) {
  if (direction === 'out') {
    const name = REQUESTS.find((key) => message[key]);
    return name ? describeRequest(name, message[name]) : 'pong';
  }
  if (message.push) return describePush(message.push);
  if (!message.id) return 'ping';
  const what = asked.get(message.id) ??
    Object.keys(message).find((key) => key !== 'id' && key !== 'error') ?? 'command';
  if (message.error) return `error ${message.error.code}: ${what}`;
  return `reply: ${what}`;
}

export function describeFrame({ messages, direction }, asked) {
  const [first, ...rest] = messages;
  if (!first) return 'empty';
  const text = clip(describeMessage(first, direction, asked), 80);
  return rest.length ? `${text} and ${rest.length} more` : text;
}

export function rememberAsked(messages, asked, limit = 500) {
  for (const message of messages) {
    const name = REQUESTS.find((key) => message[key]);
    if (!message.id || !name) continue;
    asked.set(message.id, describeRequest(name, message[name]));
    if (asked.size > limit) asked.delete(asked.keys().next().value);
  }
}

// Only publications of these channels, or pings and pongs: counted, not listed.
export function isNoise(messages, noisyChannels) {
  return messages.every((message) => {
    if (message.push) return Boolean(message.push.pub) && noisyChannels.has(message.push.channel);
    return !message.id && !REQUESTS.some((key) => message[key]);
  });
}

// Secrets are not for a screen that somebody films.
export function withoutSecrets(value) {
  return JSON.parse(JSON.stringify(value, (key, inner) =>
    (/^(token|access_token|refresh_token|password)$/.test(key) && typeof inner === 'string' && inner
      ? `${inner.slice(0, 6)}… (${inner.length} characters)` : inner)));
}
