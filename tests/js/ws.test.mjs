// A bare WebSocket, as browsers have it: no `_pk`, no reconnecting. Against the chat example.

import assert from "node:assert/strict";
import { test } from "node:test";
import WebSocket from "ws";
import { startServer } from "./server.mjs";
import { event, Inbox } from "./waiting.mjs";

/** A socket in the room `tea`, ended with the test. */
async function open(t, server, path = "/parties/main/tea") {
  const socket = new WebSocket(server.socketUrl(path));
  t.after(() => socket.terminate());
  const inbox = new Inbox(socket);
  await event(socket, "open");
  const send = (message) => socket.send(JSON.stringify(message));
  return { socket, inbox, send };
}

test("without `_pk` each connection gets an id of its own", async (t) => {
  const server = await startServer(t, "chat");
  const [ada, bob] = [await open(t, server), await open(t, server)];
  const [hers, his] = [await ada.inbox.nextOf("welcome"), await bob.inbox.nextOf("welcome")];
  assert.ok(hers.you);
  assert.ok(his.you);
  assert.notEqual(hers.you, his.you);
});

test("`/party/tea` is the room `tea` of `main`", async (t) => {
  const server = await startServer(t, "chat");
  const [ada, bob] = [await open(t, server, "/party/tea"), await open(t, server, "/parties/main/tea")];
  ada.send({ type: "join", name: "Ada" });
  assert.equal((await bob.inbox.nextOf("joined")).person.name, "Ada");
});

test("a close with a code is answered with that code", async (t) => {
  const server = await startServer(t, "chat");
  const { socket } = await open(t, server);
  const closed = event(socket, "close");
  socket.close(4321, "enough");
  const { code, wasClean } = await closed;
  assert.equal(code, 4321);
  assert.equal(wasClean, true);
});

test("a close without a code is answered with an empty Close", async (t) => {
  const server = await startServer(t, "chat");
  const { socket } = await open(t, server);
  const closed = event(socket, "close");
  socket.close();
  const { code, wasClean } = await closed;
  assert.equal(code, 1005, "no code was received");
  assert.equal(wasClean, true);
});

test("who leaves is missed by the others", async (t) => {
  const server = await startServer(t, "chat");
  const [ada, bob] = [await open(t, server), await open(t, server)];
  ada.send({ type: "join", name: "Ada" });
  const { person } = await bob.inbox.nextOf("joined");
  ada.socket.close(1000);
  assert.equal((await bob.inbox.nextOf("left")).id, person.id);
});

test("each kind of bad input gets an error for its sender alone, and the connection lives", async (t) => {
  const server = await startServer(t, "chat");
  const [ada, bob] = [await open(t, server), await open(t, server)];
  await bob.inbox.nextOf("welcome");
  ada.send({ type: "join", name: "Ada" });
  assert.equal((await bob.inbox.next()).type, "joined");

  const bad = [
    "no JSON at all",
    '{"type":"say","text":"broken',
    '{"type":"shout","text":"no such message"}',
    '{"text":"no type"}',
    '{"type":"say"}',
    '{"type":"say","text":7}',
    '{"type":"say","text":"   "}',
    JSON.stringify({ type: "say", text: "x".repeat(2001) }),
    JSON.stringify({ type: "join", name: "x".repeat(41) }),
    Buffer.from('{"type":"say","text":"in a binary frame"}'),
  ];
  for (const input of bad) {
    ada.socket.send(input);
    const { error } = await ada.inbox.nextOf("error");
    assert.ok(error, `an error text for ${input}`);
  }
  ada.send({ type: "say", text: "still here" });

  const next = await bob.inbox.next();
  assert.equal(next.message?.text, "still here", "bob has heard of none of it");
});

test("an unknown party is refused before a socket is made", async (t) => {
  const server = await startServer(t, "chat");
  const socket = new WebSocket(server.socketUrl("/parties/nobody/tea"));
  t.after(() => socket.terminate());
  const { message } = await event(socket, "error");
  assert.match(message, /404/);
});
