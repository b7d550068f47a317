// The examples `collab`, `messages`, `state` and `with-axum` as programs, with the clients that they are for.

import assert from "node:assert/strict";
import { test } from "node:test";
import PartySocket from "partysocket";
import WebSocket from "ws";
import { startServer } from "./server.mjs";
import { event, Inbox } from "./waiting.mjs";

/** A partysocket in the room `desk`, closed when the test ends. */
function connect(t, server, options = {}) {
  const reconnecting = { minReconnectionDelay: 50, maxReconnectionDelay: 200 };
  const socket = new PartySocket({ host: server.host, room: "desk", WebSocket, ...reconnecting, ...options });
  t.after(() => socket.close());
  return socket;
}

/** As `connect`, with what it hears. */
function open(t, server, options) {
  const socket = connect(t, server, options);
  const inbox = new Inbox(socket);
  const send = (message) => socket.send(JSON.stringify(message));
  return { socket, inbox, send };
}

/** As `open`, with a name in the collab example, when everybody knows it. */
async function join(t, server, name, options) {
  const client = open(t, server, options);
  const { users } = await client.inbox.nextOf("state");
  client.send({ type: "join", name });
  await client.inbox.nextOf("user-joined");
  return { ...client, users };
}

/** Who is in the room `desk` of the collab example, as a newcomer is told. */
async function names(t, server) {
  const guest = open(t, server);
  const { users } = await guest.inbox.nextOf("state");
  guest.socket.close();
  return users.map(({ name }) => name).sort();
}

/** Asks the room `desk` by plain HTTP; the status and the text of the answer. */
async function ask(server, method, body) {
  const response = await PartySocket.fetch({ host: server.host, room: "desk" }, { method, body });
  return [response.status, await response.text()];
}

test("chat: three who talk at once hear the same in the same order", async (t) => {
  const server = await startServer(t, "chat");
  const clients = ["Ada", "Bob", "Cleo"].map((name) => ({ name, ...open(t, server) }));
  for (const { name, send, inbox } of clients) {
    send({ type: "join", name });
    while ((await inbox.nextOf("joined")).person.name !== name);
  }
  for (let number = 0; number < 50; number += 1) {
    clients.forEach(({ name, send }) => send({ type: "say", text: `${name} ${number}` }));
  }
  const heard = [];
  for (const { inbox } of clients) {
    heard.push((await inbox.take(150, "said")).map(({ message }) => [message.id, message.text]));
  }
  assert.deepEqual(heard[1], heard[0]);
  assert.deepEqual(heard[2], heard[0]);
  for (const { name } of clients) {
    const own = heard[0].map(([, text]) => text).filter((text) => text.startsWith(name));
    assert.deepEqual(own, Array.from({ length: 50 }, (_, number) => `${name} ${number}`));
  }
});

test("collab: everybody sees who comes, where they point and who goes", async (t) => {
  const server = await startServer(t, "collab");
  const [ada, bob] = [await join(t, server, "Ada"), await join(t, server, "Bob")];
  assert.deepEqual(ada.users, []);
  assert.deepEqual(bob.users, [{ id: ada.socket.id, name: "Ada", cursor: null }]);

  for (let x = 0; x < 100; x += 1) ada.send({ type: "cursor", x, y: 0.5 });
  const seen = await bob.inbox.take(100, "cursor");
  assert.deepEqual(seen, Array.from({ length: 100 }, (_, x) => ({ type: "cursor", id: ada.socket.id, x, y: 0.5 })));
  const late = open(t, server);
  const { users } = await late.inbox.next();
  assert.deepEqual(users.find(({ name }) => name === "Ada").cursor, { x: 99, y: 0.5 });

  ada.socket.close();
  assert.equal((await bob.inbox.nextOf("user-left")).id, ada.socket.id);
  assert.deepEqual(await names(t, server), ["Bob"]);
});

test("collab: the old socket of an id dies late, and its user stays and hears everything", async (t) => {
  const server = await startServer(t, "collab");
  const bob = await join(t, server, "Bob");
  // Two bare sockets of one id, as a phone has them that changed from one network to another.
  const openAda = async () => {
    const socket = new WebSocket(server.socketUrl("/parties/main/desk?_pk=ada"));
    t.after(() => socket.terminate());
    const inbox = new Inbox(socket);
    return { socket, inbox, users: (await inbox.nextOf("state")).users };
  };
  const old = await openAda();
  old.socket.send('{"type":"join","name":"Ada"}');
  await bob.inbox.nextOf("user-joined");
  const now = await openAda();
  assert.deepEqual(now.users.map(({ name }) => name).sort(), ["Ada", "Bob"]);

  old.socket.terminate();
  bob.send({ type: "join", name: "Bobby" });
  assert.equal((await now.inbox.next()).user.name, "Bobby");
  assert.equal((await bob.inbox.next()).user.name, "Bobby", "nobody was said to have left");
  assert.deepEqual(await names(t, server), ["Ada", "Bobby"]);

  now.socket.terminate();
  assert.deepEqual(await bob.inbox.next(), { type: "user-left", id: "ada" });
  assert.deepEqual(await names(t, server), ["Bobby"]);
});

test("collab: who did not come back after kill -9 is not listed any more", async (t) => {
  const server = await startServer(t, "collab");
  const [ada, bob] = [await join(t, server, "Ada"), await join(t, server, "Bob")];
  assert.deepEqual(bob.users.map(({ name }) => name), ["Ada"]);

  const lost = event(bob.socket, "close");
  await server.kill();
  await lost;
  ada.socket.close();
  await server.start();

  assert.deepEqual((await bob.inbox.nextOf("state")).users, []);
  bob.send({ type: "join", name: "Bob" });
  await bob.inbox.nextOf("user-joined");
  assert.deepEqual(await names(t, server), ["Bob"]);
});

test("messages: a post is heard by sockets, and listed also after kill -9", async (t) => {
  const server = await startServer(t, "messages");
  const socket = connect(t, server);
  const heard = [];
  socket.addEventListener("message", ({ data }) => heard.push(data));
  await event(socket, "open");

  assert.deepEqual(await ask(server, "GET"), [200, "[]"]);
  for (const message of ["one", "zwei ☕"]) {
    assert.deepEqual(await ask(server, "POST", JSON.stringify({ message })), [200, "OK"]);
  }
  while (heard.length < 2) await event(socket, "message");
  assert.deepEqual(heard, ["one", "zwei ☕"]);

  await server.kill();
  await server.start();
  assert.deepEqual(await ask(server, "GET"), [200, '["one","zwei ☕"]']);
  assert.deepEqual(await ask(server, "PUT", "x"), [405, "Method not allowed"]);
});

test("state: an edit by one is the state of all, and of those who come back", async (t) => {
  const server = await startServer(t, "state");
  const [ada, bob] = [open(t, server), open(t, server)];
  await Promise.all([event(ada.socket, "open"), event(bob.socket, "open")]);

  // Both edit at once: what the room took last is what all have last.
  const edits = Array.from({ length: 20 }, (_, number) => JSON.stringify({ text: `edit ${number}` }));
  const answers = await Promise.all(edits.map((edit) => ask(server, "POST", edit)));
  assert.ok(answers.every(([status, text]) => status === 200 && text === "OK"));
  const [hers, his] = [await ada.inbox.take(20, "state-updated"), await bob.inbox.take(20, "state-updated")];
  assert.deepEqual(hers, his);
  const [, text] = await ask(server, "GET");
  assert.equal(JSON.parse(text).text, hers.at(-1).text);

  await server.kill();
  await server.start();
  assert.deepEqual(await ada.inbox.nextOf("state-updated"), hers.at(-1));
  assert.equal((await ask(server, "DELETE"))[0], 405);
});

test("a game: players move in turn, and one who was away sees the board", async (t) => {
  const server = await startServer(t, "state");
  const watch = { ada: open(t, server, { id: "ada" }), bob: open(t, server, { id: "bob" }) };
  await Promise.all(Object.values(watch).map(({ socket }) => event(socket, "open")));
  const board = Array(9).fill("");
  const move = async (player, square) => {
    board[square] = player;
    assert.deepEqual(await ask(server, "POST", JSON.stringify({ board, moved: player })), [200, "OK"]);
  };

  for (const [player, square] of [["ada", 4], ["bob", 0], ["ada", 2]]) {
    await move(player, square);
    for (const { inbox } of Object.values(watch)) {
      assert.deepEqual(await inbox.next(), { type: "state-updated", board, moved: player });
    }
  }

  watch.bob.socket.close();
  await move("ada", 6);
  watch.bob.socket.reconnect();
  assert.deepEqual((await watch.bob.inbox.next()).board, board);
});

test("with-axum: sockets, the API and the middleware are one application, and one signal ends it", async (t) => {
  const server = await startServer(t, "with-axum");
  const [ada, bob] = [open(t, server, { room: "main" }), open(t, server, { room: "main" })];
  for (const { inbox } of [ada, bob]) assert.deepEqual(await inbox.next(), { type: "claps", claps: 0 });
  ada.send({ type: "clap" });
  for (const { inbox } of [ada, bob]) assert.deepEqual(await inbox.next(), { type: "claps", claps: 1 });
  const posted = await fetch(server.url("/api/halls/main"), { method: "POST" });
  assert.deepEqual(await posted.json(), { claps: 2 });
  for (const { inbox } of [ada, bob]) assert.deepEqual(await inbox.next(), { type: "claps", claps: 2 });

  // Two upgrades and the POST came before.
  for (const [number, path, status] of [[4, "/", 200], [5, "/nowhere", 404], [6, "/party/main", 404]]) {
    const answer = await fetch(server.url(path));
    assert.deepEqual([answer.status, answer.headers.get("x-request-number")], [status, String(number)], path);
  }
  ada.send({ type: "shout" });
  assert.equal((await ada.inbox.nextOf("error")).type, "error");

  const closed = Promise.all([ada, bob].map(({ socket }) => event(socket, "close")));
  const stopped = server.stop();
  assert.deepEqual((await closed).map(({ code }) => code), [1012, 1012]);
  assert.equal(await stopped, 0);

  await server.start();
  assert.deepEqual(await (await fetch(server.url("/api/halls/main"))).json(), { claps: 2 });
});
