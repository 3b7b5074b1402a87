#!/usr/bin/env node
// Ask a local edge-runtime server what somebody wants:
//
//     node ask.js /run/edge-runtime/edge.sock "turn off the kitchen lights" ["another text" …]
//
// Needs Node 18 or later and nothing else. Prints each intent and its slots. Status 1: the server cannot be reached, or
// refused a text.
'use strict';
const net = require('node:net');

/** One connection; requests may be made without waiting for earlier ones. */
class Client {
  constructor(path) {
    this.waiting = new Map(); // by id
    this.next = 1;
    this.rest = '';
    this.socket = net.connect(path);
    this.socket.setEncoding('utf8'); // puts characters that arrive in pieces together
    this.socket.on('data', (data) => this.receive(data));
    this.socket.on('error', (error) => this.fail(error));
    this.socket.on('close', () => this.fail(new Error('the server ended the connection')));
  }

  /** The result of an operation; rejects with the server's error, its code in `code`. */
  request(op, fields) {
    const id = this.next++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.socket.write(JSON.stringify({ id, op, ...fields }) + '\n');
    });
  }

  close() {
    this.socket.end();
  }

  receive(data) {
    const lines = (this.rest + data).split('\n');
    this.rest = lines.pop();
    for (const line of lines.filter((line) => line.trim())) {
      let reply;
      try {
        reply = JSON.parse(line);
      } catch (error) {
        this.socket.destroy(new Error('the server sent something that is no JSON'));
        return;
      }
      if (reply.id == null && reply.error) this.fail(failure(reply.error)); // concerns the whole connection
      const call = this.waiting.get(reply.id);
      if (!call) continue; // an event, or a reply that nobody waits for
      this.waiting.delete(reply.id);
      if (reply.error) call.reject(failure(reply.error));
      else call.resolve(reply.result);
    }
  }

  fail(error) {
    for (const call of this.waiting.values()) call.reject(error);
    this.waiting.clear();
  }
}

function failure({ code, message }) {
  return Object.assign(new Error(message), { code });
}

async function main([path, ...texts]) {
  if (!path || texts.length === 0) {
    console.error('usage: node ask.js SOCKET TEXT…');
    return 2;
  }
  const client = new Client(path);
  // all at once: replies are matched by id, whatever order they come in
  const answers = await Promise.allSettled(texts.map((text) => client.request('understand', { text })));
  client.close();
  let status = 0;
  for (const answer of answers) {
    if (answer.status === 'rejected') {
      console.error(`error ${answer.reason.code ?? 'lost'}: ${answer.reason.message}`);
      status = 1;
      continue;
    }
    console.log(answer.value.intent ?? 'not recognised');
    for (const slot of answer.value.slots) console.log(`  ${slot.type}: ${slot.text}`);
  }
  return status;
}

main(process.argv.slice(2)).then((status) => {
  process.exitCode = status;
});
