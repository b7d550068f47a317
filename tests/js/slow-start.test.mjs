// A room that takes longer to start than `partysocket` waits for an open socket.

import assert from "node:assert/strict";
import { test } from "node:test";
import PartySocket from "partysocket";
import WebSocketOfWs from "ws";
import { startServer } from "./server.mjs";
import { Inbox } from "./waiting.mjs";

/** How long `on_start` takes in the server `slow-start`; the one thing here that takes real time. */
const START_MS = 6_000;
const CLIENTS = 5;

test("a room that starts for 6 s is started once, and each client opens once and never retries", async (t) => {
  const kinds = [WebSocketOfWs, globalThis.WebSocket].filter(Boolean);
  const server = await startServer(t, "slow-start");
  let connects = 0;
  const began = performance.now();
  const clients = Array.from({ length: CLIENTS }, (_, number) => {
    class Counted extends kinds[number % kinds.length] {
      constructor(...parts) {
        super(...parts);
        connects += 1;
      }
    }
    // As an app has it: nothing is set but where the room is.
    const socket = new PartySocket({ host: server.host, room: "tea", WebSocket: Counted });
    t.after(() => socket.close());
    const heard = [];
    for (const name of ["open", "message", "close", "error"]) {
      socket.addEventListener(name, () => heard.push(name));
    }
    return { socket, heard, inbox: new Inbox(socket) };
  });

  const welcomes = await Promise.all(clients.map(({ inbox }) => inbox.next()));
  const tookMs = performance.now() - began;

  assert.ok(tookMs >= START_MS, `welcome after ${tookMs} ms, before the room can have started`);
  const asked = await PartySocket.fetch({ host: server.host, room: "tea" });
  assert.equal(await asked.text(), `1 starts, ${CLIENTS} connections`);
  for (const [number, { socket, heard }] of clients.entries()) {
    assert.deepEqual(welcomes[number], { type: "welcome", starts: 1 });
    assert.deepEqual(heard, ["open", "message"]);
    assert.equal(socket.retryCount, 0);
  }
  assert.equal(connects, CLIENTS);
});
