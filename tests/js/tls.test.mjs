// The npm package `partysocket`, unchanged, over wss.

import assert from "node:assert/strict";
import { test } from "node:test";
import PartySocket from "partysocket";
import WebSocket from "ws";
import { startSecure } from "./secure.mjs";
import { Inbox } from "./waiting.mjs";

test("partysocket talks over wss, and comes back after the server was killed", async (t) => {
  const { server, ca } = await startSecure(t);
  class Trusting extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols, { ca });
    }
  }
  const open = () => {
    const socket = new PartySocket({
      host: server.host,
      protocol: "wss",
      room: "tea",
      WebSocket: Trusting,
      minReconnectionDelay: 50,
      maxReconnectionDelay: 200,
    });
    t.after(() => socket.close());
    return { socket, inbox: new Inbox(socket) };
  };
  const [ada, bob] = [open(), open()];
  const join = async ({ socket, inbox }, name) => {
    await inbox.nextOf("welcome");
    socket.send(JSON.stringify({ type: "join", name }));
    await inbox.nextOf("joined");
  };
  await join(ada, "Ada");
  await join(bob, "Bob");
  ada.socket.send(JSON.stringify({ type: "say", text: "over wss" }));
  assert.equal((await bob.inbox.nextOf("said")).message.text, "over wss");

  await server.kill();
  await server.start();
  const { messages } = await bob.inbox.nextOf("welcome");
  assert.deepEqual(messages.map((message) => message.text), ["over wss"]);
});
