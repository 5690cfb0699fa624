// What the conformance tests share: each broker in turn, clients that are closed in the end, and a
// proxy that stands in for a load balancer.

import { Centrifuge } from 'centrifuge';
import net from 'node:net';
import { after, afterEach, before, describe } from 'node:test';
import WebSocket from 'ws';

import { Hub, Redis, once, within } from '../support/harness.mjs';

// Runs `define` once for each broker.  `context.start(config)` starts a hub on it, `context.client`
// makes an official client, `context.redis` is there for Redis only.  What a test started ends with
// it, and its hubs are judged then.
export function onEachBroker(title, define) {
  for (const broker of ['memory', 'redis']) {
    describe(`${title} (${broker})`, () => { define(useHubs(broker)); });
  }
}

export function useHubs(broker) {
  let hubs = [];
  let closers = [];
  const context = {
    broker,
    redis: null,
    async start(config) {
      const hub = await Hub.start(config, { redis: context.redis });
      hubs.push(hub);
      return hub;
    },
    atEnd(close) { closers.push(close); },
    client(url, options = {}, Class = Centrifuge) {
      const client = new Class(url, { websocket: WebSocket, ...FAST, ...options });
      closers.push(() => client.disconnect());
      return client;
    },
    async connected(url, options, Class) {
      const client = context.client(url, options, Class);
      const promise = once(client, 'connected');
      client.connect();
      await promise;
      return client;
    },
  };
  before(async () => { if (broker === 'redis') context.redis = await Redis.start(); });
  afterEach(async () => {
    const [toClose, toJudge] = [closers.reverse(), hubs];
    [closers, hubs] = [[], []];
    for (const close of toClose) await close();
    const results = await Promise.allSettled(toJudge.map((hub) => hub.close()));
    const failed = results.find((result) => result.status === 'rejected');
    if (failed) throw failed.reason;
  });
  after(() => context.redis?.close());
  return context;
}

// What features are tested on: the same is expected of each.
const CLUSTERS = [
  { title: 'memory', broker: 'memory', hubs: 1, workers: 1 },
  { title: 'redis', broker: 'redis', hubs: 1, workers: 1 },
  { title: 'redis, two workers', broker: 'redis', hubs: 1, workers: 2 },
  { title: 'redis, two hubs', broker: 'redis', hubs: 2, workers: 1 },
];

// Runs `define` once for each cluster, whose hubs serve all of its tests and are judged after them.
// `context.url` is the first hub; `context.apart` connects a client to another process than another
// client is on, where there is one; `context.balancer` is in front of the first hub.  Of the options,
// `only` chooses clusters and `isIdle` starts none of their processes.
export function onEachCluster(title, config, define, { only, isIdle } = {}) {
  for (const cluster of CLUSTERS.filter((each) => !only || only.includes(each.title))) {
    describe(`${title} (${cluster.title})`, () => { define(useCluster(cluster, config, isIdle)); });
  }
}

function useCluster(cluster, config, isIdle) {
  let closers = [];
  let channels = 0;
  const connect = async (url, options = {}, Class = Centrifuge) => {
    const client = new Class(url, { websocket: WebSocket, ...FAST, ...options });
    closers.push(() => client.disconnect());
    const promise = once(client, 'connected');
    client.connect();
    client.sessionId = (await promise).client;
    return client;
  };
  const workerOf = (hub, client) =>
    hub.waitLog('connected', { session: client.sessionId }).then((record) => record.worker);
  const context = {
    broker: cluster.broker,
    redis: null,
    hubs: [],
    get url() { return context.hubs[0].wsUrl; },
    atEnd(close) { closers.push(close); },
    channel(namespace) { return `${namespace}:${channels += 1}`; }, // nobody had it before
    connected: (options, Class) => connect(context.url, options, Class),
    async apart(other, options, Class) {
      const [hub] = context.hubs.slice(-1);
      for (;;) {
        const client = await connect(hub.wsUrl, options, Class);
        if (cluster.workers === 1) return client;
        if (await workerOf(hub, client) !== await workerOf(hub, other)) return client;
        client.disconnect();
      }
    },
    async balancer() {
      const balancer = await startBalancer(context.hubs[0]);
      closers.push(balancer.close);
      balancer.connected = (options, Class) => connect(balancer.wsUrl, options, Class);
      return balancer;
    },
  };
  before(async () => {
    if (isIdle) return;
    if (cluster.broker === 'redis') context.redis = await Redis.start();
    const own = { log: { level: 'debug' }, workers: cluster.workers, ...config };
    for (let number = 0; number < cluster.hubs; number += 1) {
      context.hubs.push(await Hub.start(own, { redis: context.redis }));
    }
  });
  afterEach(async () => {
    const toClose = closers.reverse();
    closers = [];
    for (const close of toClose) await close();
  });
  after(async () => {
    const results = await Promise.allSettled(context.hubs.map((hub) => hub.close()));
    await context.redis?.close();
    const failed = results.find((result) => result.status === 'rejected');
    if (failed) throw failed.reason;
  });
  return context;
}

const FAST = { minReconnectDelay: 20, maxReconnectDelay: 200 };

// Subscribed, with everything that arrives in `subscription.received`.
export async function subscribe(client, channel, options = {}) {
  const subscription = client.newSubscription(channel, { ...FAST_SUBSCRIBE, ...options });
  subscription.received = [];
  subscription.on('publication', (event) => subscription.received.push(event));
  const promise = once(subscription, 'subscribed');
  subscription.subscribe();
  await promise;
  return subscription;
}

// The code with which the hub refuses it for good.
export async function refusal(client, channel, options = {}) {
  const subscription = client.newSubscription(channel, { ...FAST_SUBSCRIBE, ...options });
  const promise = once(subscription, 'unsubscribed');
  subscription.subscribe();
  const { code } = await promise;
  client.removeSubscription(subscription);
  return code;
}

const FAST_SUBSCRIBE = { minResubscribeDelay: 20, maxResubscribeDelay: 200 };

// A TCP proxy: new connections go to `target.port`; what clients sent first is in `heads`.  cut()
// ends all connections and refuses new ones until mend().
export async function startBalancer(target) {
  const balancer = { target, heads: [] };
  const sockets = new Set();
  let isCut = false;
  const server = net.createServer((client) => {
    if (isCut) {
      client.destroy();
      return;
    }
    const upstream = net.connect(balancer.target.port, '127.0.0.1');
    client.once('data', (bytes) => balancer.heads.push(bytes.toString('latin1')));
    for (const [socket, peer] of [[client, upstream], [upstream, client]]) {
      sockets.add(socket);
      socket.pipe(peer);
      socket.on('error', () => peer.destroy());
      socket.on('close', () => {
        sockets.delete(socket);
        peer.end();
      });
    }
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  balancer.wsUrl = `ws://127.0.0.1:${server.address().port}/connection/websocket`;
  balancer.cut = () => {
    isCut = true;
    for (const socket of sockets) socket.destroy();
  };
  balancer.mend = () => { isCut = false; };
  balancer.close = () => {
    balancer.cut();
    server.close();
  };
  return balancer;
}

// A socket of one's own, in JSON: sends what it is told, keeps what comes.
export async function rawSocket(url) {
  const socket = new WebSocket(url);
  socket.frames = [];
  socket.on('message', (data) => socket.frames.push(String(data)));
  const closed = new Promise((resolve) => {
    socket.on('close', (code, reason) => resolve({ code, reason: String(reason) }));
  });
  socket.closed = () => within('the close of a socket', closed);
  await new Promise((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
  });
  return socket;
}
