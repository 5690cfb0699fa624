// A client of the MessagePack encoding, for which there is no SDK: enough of one to test with.

import { decodeMulti, encode } from '@msgpack/msgpack';
import WebSocket from 'ws';

import { within } from '../support/harness.mjs';

export class MsgpackClient {
  static async connect(url, request = {}) {
    const client = new MsgpackClient(url);
    await new Promise((resolve, reject) => {
      client.socket.once('open', resolve);
      client.socket.once('error', reject);
    });
    client.connection = await client.command({ connect: request });
    return client;
  }

  constructor(url) {
    this.pushes = [];
    this.waiting = new Map();
    this.lastId = 0;
    this.socket = new WebSocket(url, 'centrifuge-msgpack');
    this.socket.on('message', (frame, isBinary) => {
      if (!isBinary) throw new Error(`a text frame: ${frame}`);
      for (const reply of decodeMulti(frame)) this.take(reply);
    });
    this.closed = new Promise((resolve) => {
      this.socket.on('close', (code, reason) => {
        resolve({ code, reason: String(reason) });
        for (const { reject } of this.waiting.values()) reject(new Error(`closed with ${code}`));
      });
    });
  }

  take(reply) {
    if (reply.id) {
      const { resolve, reject } = this.waiting.get(reply.id);
      this.waiting.delete(reply.id);
      if (reply.error) reject(Object.assign(new Error(reply.error.message), reply.error));
      else resolve(reply);
    } else if (reply.push) {
      this.pushes.push(reply.push);
    } else {
      this.socket.send(encode({})); // a ping
    }
  }

  command(request) {
    this.lastId += 1;
    const id = this.lastId;
    this.socket.send(encode({ id, ...request }, { ignoreUndefined: true }));
    return within(`the reply to ${Object.keys(request)[0]}`,
      new Promise((resolve, reject) => { this.waiting.set(id, { resolve, reject }); }));
  }

  subscribe(channel) {
    return this.command({ subscribe: { channel } });
  }

  publish(channel, data) {
    return this.command({ publish: { channel, data } });
  }

  close() {
    this.socket.close();
    return this.closed;
  }
}
