// The npm package `partysocket`, unchanged, against the chat example; against others where they do what is to
// be shown.
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

    test("a client that closes is gone: the others are told, and it does not come back", async (t) => {
      const server = await startServer(t, "chat");
      const [ada, bob] = [await join(t, server, "Ada"), await join(t, server, "Bob")];
      const closed = event(ada.socket, "close");
      ada.socket.close(4321, "enough");
      const { code, reason } = await closed;
      assert.deepEqual([code, reason], [4321, "enough"]);
      assert.equal(ada.socket.readyState, PartySocket.CLOSED);
      assert.equal(ada.socket.shouldReconnect, false);
      assert.equal((await bob.inbox.nextOf("left")).id, ada.socket.id);
    });

    test("sockets of other parties and rooms hear nothing of each other", async (t) => {
      const server = await startServer(t, "bench", {}, (port) => [port, 1]);
      const places = [["main", "tea"], ["main", "tea"], ["main", "coffee"], ["echo", "tea"], ["echo", "tea"]];
      const clients = places.map(([party, room], index) => open(t, server, { party, room, id: `client ${index}` }));
      clients.forEach(({ send }, index) => send({ type: "from", index }));

      // The party `main` sends to all in the room, `echo` to the sender alone.
      const wanted = [[0, 1], [0, 1], [2], [3], [4]];
      // Both in `tea` must be there before one of them speaks, so they speak again.
      await Promise.all(clients.map(({ inbox }) => inbox.next()));
      clients.forEach(({ send }, index) => send({ type: "again", index }));
      for (const [index, { inbox }] of clients.entries()) {
        const heard = await inbox.take(wanted[index].length, "again");
        assert.deepEqual(heard.map((message) => message.index).sort(), wanted[index]);
      }
      assert.deepEqual(clients.map(({ inbox }) => inbox.unread), [0, 0, 0, 0, 0]);
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

    test("what was queued arrives before what the handler of `open` sends", async (t) => {
      const server = await startServer(t, "chat");
      const client = open(t, server);
      client.socket.addEventListener("open", () => say(client, "from the handler"));
      client.send({ type: "join", name: "Ada" });
      say(client, "queued");
      const heard = await client.inbox.take(2, "said");
      assert.deepEqual(texts(heard.map(({ message }) => message)), ["queued", "from the handler"]);
    });

    // Node 20's own WebSocket now and then keeps back frames that have come in one burst, until more come.
    if (WebSocket !== globalThis.WebSocket) {
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
    }

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

    test("a client that the server drops comes back, and its listeners of both kinds stay", async (t) => {
      const server = await startServer(t, "state");
      const { socket, inbox } = open(t, server);
      const heard = [];
      socket.onmessage = ({ data }) => heard.push(data);
      socket.onclose = ({ code }) => heard.push(code);
      await event(socket, "open");

      const reopened = event(socket, "close").then(() => event(socket, "open"));
      socket.send("this party only tells");
      await reopened;
      await PartySocket.fetch({ host: server.host, room: "tea" }, { method: "POST", body: '{"kettle":"on"}' });

      const state = { type: "state-updated", kettle: "on" };
      assert.deepEqual(await inbox.next(), state);
      assert.deepEqual(heard, [1008, JSON.stringify(state)]);
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

    const finals = [
      ["chat", "welcome", 1009, "x".repeat(MESSAGE_BYTES_MAX + 1)],
      ["state", "state-updated", 1008, "this party only tells"],
    ];
    for (const [example, first, wanted, message] of finals) {
      test(`a close ${wanted} that \`shouldReconnectOnClose\` takes as final is final`, async (t) => {
        const server = await startServer(t, example);
        await PartySocket.fetch({ host: server.host, room: "tea" }, { method: "POST", body: "{}" });
        let connects = 0;
        class Counted extends WebSocket {
          constructor(...parts) {
            super(...parts);
            connects += 1;
          }
        }
        const { socket, inbox } = open(t, server, {
          WebSocket: Counted,
          shouldReconnectOnClose: ({ code }) => code !== wanted,
        });
        await inbox.nextOf(first);

        const closed = event(socket, "close");
        socket.send(message);
        assert.equal((await closed).code, wanted);

        assert.equal(socket.shouldReconnect, false, "nothing is under way to connect again");
        assert.equal(connects, 1);
      });
    }
  });
}
