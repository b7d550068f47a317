// WebSockets outside of the rooms, by `partysocket` with a `basePath` and by a bare WebSocket.

import assert from "node:assert/strict";
import { test } from "node:test";
import PartySocket from "partysocket";
import WebSocket from "ws";
import { startServer } from "./server.mjs";
import { event, Inbox } from "./waiting.mjs";

test("`partysocket` with a base path and a bare WebSocket meet in the room behind it", async (t) => {
  const server = await startServer(t, "lobby-socket");
  const ada = new PartySocket({ host: server.host, basePath: "live/tea", WebSocket });
  const bob = new WebSocket(server.socketUrl("/live/tea"));
  const member = new PartySocket({ host: server.host, room: "tea", WebSocket });
  t.after(() => [ada, member].forEach((socket) => socket.close()));
  t.after(() => bob.terminate());
  const inboxes = [ada, bob, member].map((socket) => new Inbox(socket));
  await Promise.all([ada, bob, member].map((socket) => event(socket, "open")));
  for (const socket of [ada, bob, member]) {
    // Until the room has let all of them in, it may answer to fewer.
    socket.send(JSON.stringify({ type: "here" }));
  }
  await inboxes[0].nextOf("here");
  await inboxes[1].nextOf("here");
  await inboxes[2].nextOf("here");
  ada.send(JSON.stringify({ type: "said", text: "grüß dich" }));
  for (const inbox of inboxes) {
    assert.deepEqual(await inbox.nextOf("said"), { type: "said", text: "grüß dich" });
  }
  assert.equal(ada.retryCount, 0);
});

test("`partysocket` sees a refusal by a Close", async (t) => {
  const server = await startServer(t, "lobby-socket");
  const socket = new PartySocket({ host: server.host, basePath: "shut", WebSocket });
  t.after(() => socket.close());
  const { code, reason } = await event(socket, "close");
  assert.deepEqual({ code, reason }, { code: 4003, reason: "Members only" });
});

test("a path that is no WebSocket answers by HTTP", async (t) => {
  const server = await startServer(t, "lobby-socket");
  const socket = new WebSocket(server.socketUrl("/elsewhere"));
  const { message } = await event(socket, "error");
  assert.match(message, /404/);
});
