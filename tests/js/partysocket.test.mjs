// The npm package `partysocket`, unchanged, against the chat example.
//
// Everything is shown with the WebSocket of `ws`, and again with the one that Node brings, where it does.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import PartySocket from "partysocket";
import WebSocketOfWs from "ws";
import { startServer } from "./server.mjs";
import { event, Inbox } from "./waiting.mjs";

const MESSAGE_BYTES_MAX = 1024 * 1024;

const sockets = { "the WebSocket of ws": WebSocketOfWs };
if (globalThis.WebSocket) sockets["Node's own WebSocket"] = globalThis.WebSocket;

for (const [title, WebSocket] of Object.entries(sockets)) {
  describe(`partysocket over ${title}`, () => {
    /** A partysocket in a room of `server`, closed when the test ends. */
    function open(t, server, options = {}) {
      const socket = new PartySocket({
        host: server.host,
        room: "tea",
        WebSocket,
        minReconnectionDelay: 50,
        maxReconnectionDelay: 200,
        ...options,
      });
      t.after(() => socket.close());
      const inbox = new Inbox(socket);
      const send = (message) => socket.send(JSON.stringify(message));
      return { socket, inbox, send };
    }

    /** As `open`, under a name, when everybody knows it. */
    async function join(t, server, name, options) {
      const client = open(t, server, options);
      const welcome = await client.inbox.nextOf("welcome");
      client.send({ type: "join", name });
      await client.inbox.nextOf("joined");
      return { ...client, welcome };
    }

    const say = (client, text) => client.send({ type: "say", text });
    const texts = (messages) => messages.map((message) => message.text);

    test("the server knows a client by the id that the client chose", async (t) => {
      const server = await startServer(t, "chat");
      const { socket, welcome } = await join(t, server, "Ada", { id: "ada's own id" });
      assert.equal(socket.id, "ada's own id");
      assert.equal(welcome.you, "ada's own id");
    });

    test("what one says everyone in the room hears, the speaker too", async (t) => {
      const server = await startServer(t, "chat");
      const [ada, bob] = [await join(t, server, "Ada"), await join(t, server, "Bob")];
      say(ada, "two words, ünïcode ☕");
      for (const { inbox } of [ada, bob]) {
        const { message } = await inbox.nextOf("said");
        assert.equal(message.text, "two words, ünïcode ☕");
        assert.equal(message.name, "Ada");
        assert.equal(message.from, ada.socket.id);
      }
    });

    test("rooms hear nothing of each other", async (t) => {
      const server = await startServer(t, "chat");
      const tea = await join(t, server, "Ada", { room: "tea" });
      const coffee = await join(t, server, "Bob", { room: "coffee" });
      say(tea, "for tea");
      await tea.inbox.nextOf("said");
      say(coffee, "for coffee");
      assert.equal((await coffee.inbox.nextOf("said")).message.text, "for coffee");
    });

    test("messages sent before the socket is open arrive in their order", async (t) => {
      const server = await startServer(t, "chat");
      const { inbox, send } = open(t, server);
      const wanted = Array.from({ length: 20 }, (_, number) => `queued ${number}`);
      assert.equal(send({ type: "join", name: "Ada" }), false, "not open yet, so it is queued");
      wanted.forEach((text) => send({ type: "say", text }));
      const heard = await inbox.take(wanted.length, "said");
      assert.deepEqual(texts(heard.map(({ message }) => message)), wanted);
    });

    test("1,000 rapid messages keep their order for everyone", async (t) => {
      const server = await startServer(t, "chat");
      const [ada, bob] = [await join(t, server, "Ada"), await join(t, server, "Bob")];
      const wanted = Array.from({ length: 1000 }, (_, number) => `rapid ${number}`);
      wanted.forEach((text) => say(ada, text));
      for (const { inbox } of [ada, bob]) {
        const heard = await inbox.take(wanted.length, "said");
        assert.deepEqual(texts(heard.map(({ message }) => message)), wanted);
      }
    });

    test("after kill -9 the client comes back under its id and finds the history intact", async (t) => {
      const server = await startServer(t, "chat");
      const [ada, bob] = [await join(t, server, "Ada"), await join(t, server, "Bob")];
      const wanted = ["one", "two", "three"];
      wanted.forEach((text) => say(ada, text));
      const before = (await bob.inbox.take(wanted.length, "said")).map(({ message }) => message);
      assert.deepEqual(texts(before), wanted);

      const lost = event(bob.socket, "close");
      await server.kill();
      await lost;
      await server.start();

      const welcome = await bob.inbox.nextOf("welcome");
      assert.equal(welcome.you, bob.welcome.you);
      assert.deepEqual(welcome.messages, before);
    });

    test("what is sent while the server is away is heard when it is back", async (t) => {
      const server = await startServer(t, "chat");
      const ada = await join(t, server, "Ada");

      const lost = event(ada.socket, "close");
      await server.kill();
      await lost;
      assert.equal(ada.send({ type: "join", name: "Ada" }), false);
      assert.equal(say(ada, "are you there?"), false);
      await server.start();

      assert.equal((await ada.inbox.nextOf("said")).message.text, "are you there?");
    });

    test("a server that is told to stop says so with 1012, and the client comes back", async (t) => {
      const server = await startServer(t, "chat");
      const ada = await join(t, server, "Ada");

      const closed = event(ada.socket, "close");
      assert.equal(await server.stop(), 0);
      assert.equal((await closed).code, 1012);
      await server.start();

      assert.equal((await ada.inbox.nextOf("welcome")).you, ada.welcome.you);
    });

    test("`PartySocket.fetch` reaches the room of the socket", async (t) => {
      const server = await startServer(t, "chat");
      const ada = await join(t, server, "Ada");
      say(ada, "one");
      await ada.inbox.nextOf("said");
      const response = await PartySocket.fetch({ host: server.host, room: "tea" });
      assert.equal(response.status, 200);
      assert.deepEqual(await response.json(), { room: "tea", people: 1, messages: 1 });
    });

    test("a close that `shouldReconnectOnClose` takes as final is final", async (t) => {
      const server = await startServer(t, "chat");
      let connects = 0;
      class Counted extends WebSocket {
        constructor(...parts) {
          super(...parts);
          connects += 1;
        }
      }
      const { socket, inbox } = open(t, server, {
        WebSocket: Counted,
        shouldReconnectOnClose: ({ code }) => code !== 1009,
      });
      await inbox.nextOf("welcome");

      const closed = event(socket, "close");
      socket.send("x".repeat(MESSAGE_BYTES_MAX + 1));
      assert.equal((await closed).code, 1009);

      assert.equal(socket.shouldReconnect, false, "nothing is under way to connect again");
      assert.equal(connects, 1);
    });
  });
}
