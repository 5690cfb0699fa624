// The service "echo" in JavaScript; docs/REDIS.md, "Serve a method", explains each step.
import { decode, encode } from '@msgpack/msgpack';
import Redis from 'ioredis';
import { setTimeout as sleep } from 'node:timers/promises';

const refuse = (code, message) => { throw Object.assign(new Error(message), { error: { code, message } }); };
const methods = {
  'echo.v1.say': [{ access: 'anonymous', idempotent: true },
    (params) => ({ text: params?.text ?? refuse(400, 'text is missing'), by: 'node' })],
  'echo.v1.whoami': [{ access: 'user' }, (_, call) => ({ user: call.user, by: 'node' })],
  'echo.v1.wait': [{ access: 'anonymous', timeout_ms: 300 }, (params) => sleep(params.ms, null)],
};
function read([kind, data]) { // 2 is MessagePack, 1 JSON; 0 are bytes, in which Protobuf clients send JSON
  try { return kind === 2 ? decode(data) : JSON.parse(Buffer.from(data)); } catch { return refuse(107, 'bad request'); }
}
let [busy, leaveAt] = [0, Infinity];

async function serve(call) {
  const reply = { id: call.id };
  busy += 1;
  try {
    const [, run] = Object.hasOwn(methods, call.method) ? methods[call.method] : refuse(104, 'method not found');
    const result = await run(call.params && read(call.params), call);
    reply.data = [1, Buffer.from(JSON.stringify(result))];
  } catch (reason) {
    if (!reason.error) console.error(call.method, call.traceparent, reason);
    reply.error = reason.error ?? { code: 100, message: 'internal server error', temporary: true };
  }
  await redis.publish(call.reply, Buffer.from(encode(reply))).catch(console.error);
  busy -= 1;
}

const redis = new Redis(process.env.REDIS_URL ?? 'redis://127.0.0.1:6379');
// One waits, one is subscribed (and must not be asked whether it is ready: a subscriber answers nothing else).
const [queue, alive] = [redis.duplicate(), redis.duplicate({ enableReadyCheck: false })];
for (const link of [redis, queue, alive]) link.on('error', (error) => console.error(error.message));
redis.on('ready', async () => { // at start, and when Redis is back, perhaps empty
  const list = Object.entries(methods).map(([name, [rules]]) => ({ name, ...rules }));
  await redis.hset('wh:rpc:services', 'echo', JSON.stringify({ version: '1.0.0', methods: list }));
  await redis.publish('wh:rpc:services', 'echo');
  if (leaveAt === Infinity) await alive.subscribe('wh:rpc:alive:echo');
});
process.on('SIGTERM', () => { leaveAt = Date.now() + 500; alive.disconnect(); }); // hubs soon notice
while (Date.now() < leaveAt || busy > 0) {
  const room = Date.now() < leaveAt ? 64 - busy : 0;
  const popped = room === 0 ? await sleep(5)
    : await queue.blmpopBuffer(0.2, 1, 'wh:rpc:echo', 'LEFT', 'COUNT', room).catch(() => sleep(200));
  for (const call of (popped?.[1] ?? []).map((bytes) => decode(bytes))) {
    if (Date.now() < call.deadline_ms) serve(call); // later nobody waits for the answer
  }
}
process.exit(0);
