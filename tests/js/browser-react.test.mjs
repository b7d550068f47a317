// `usePartySocket` of the npm package, in a React page in a real browser.
//
// The page begins as an answer of the server, so that the hook finds its host by itself, and the browser
// takes it for a page of this machine, which may open sockets to this machine.

import assert from "node:assert/strict";
import { dirname } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import PartySocket from "partysocket";
import WebSocket from "ws";
import { openWindow } from "./browser.mjs";
import { startServer } from "./server.mjs";
import { Inbox, within } from "./waiting.mjs";

const SECRET = "a secret of the pipeline's own";

/** The script of the page. React's development build: only there StrictMode mounts twice. */
const { outputFiles } = await build({
  absWorkingDir: dirname(fileURLToPath(import.meta.url)),
  entryPoints: ["browser-react-page.jsx"],
  bundle: true,
  define: { "process.env.NODE_ENV": '"development"' },
  format: "esm",
  jsx: "automatic",
  write: false,
});

/** The page, rendered, with these first options; `mode` is `strict` or nothing. */
async function openPage(t, server, options, mode = "") {
  const { window, wrong } = await openWindow(t, server);
  const page = await window.newPage();
  const first = new URLSearchParams({ options: JSON.stringify(options) });
  const answer = await page.goto(server.url(`/react?${mode}&${first}`));
  assert.equal(answer.status(), 404, "there is no such page; the script makes it");
  await page.addScriptTag({ content: outputFiles[0].text, type: "module" });
  await page.waitForFunction(() => globalThis.page?.rendered);
  return { page, wrong };
}

/** Waits until the handlers of the hook have been told a `type`, from the message `from` on. */
function isTold(page, type, from = 0) {
  const told = ([type, from]) => globalThis.page.told.slice(from).some((it) => it.type === type);
  return page.waitForFunction(told, [type, from]);
}

const change = (page, options) => page.evaluate((options) => globalThis.page.change(options), options);
const send = (page, message) => page.evaluate((text) => globalThis.page.socket.send(text), JSON.stringify(message));
const openCount = (page) => page.evaluate(() => globalThis.page.openCount);
const toldCount = (page) => page.evaluate(() => globalThis.page.told.length);
const socketsCount = (page) => page.evaluate(() => globalThis.page.sockets.length);

/** Somebody else in the room, with a name. */
async function peer(t, server, room) {
  const socket = new PartySocket({ host: server.host, room, WebSocket });
  t.after(() => socket.close());
  const inbox = new Inbox(socket);
  await inbox.nextOf("welcome");
  const say = (text) => socket.send(JSON.stringify({ type: "say", text }));
  socket.send(JSON.stringify({ type: "join", name: "Peer" }));
  await inbox.nextOf("joined");
  return { inbox, say };
}

test("another room is another socket, and the old room is told that one has left", async (t) => {
  const server = await startServer(t, "chat");
  const [tea, coffee] = [await peer(t, server, "tea"), await peer(t, server, "coffee")];
  const { page, wrong } = await openPage(t, server, { room: "tea", id: "page" });
  await isTold(page, "welcome");
  await send(page, { type: "join", name: "Page" });
  assert.equal((await tea.inbox.nextOf("joined")).person.name, "Page");

  const from = await toldCount(page);
  await change(page, { room: "coffee" });

  assert.equal((await tea.inbox.nextOf("left")).id, "page");
  await isTold(page, "welcome", from);
  coffee.say("for coffee");
  await isTold(page, "said", from);
  assert.equal(await socketsCount(page), 2);
  assert.equal(await openCount(page), 1);
  const rooms = await page.evaluate(() => globalThis.page.natives.map(({ url }) => new URL(url).pathname));
  assert.deepEqual(rooms, ["/parties/main/tea", "/parties/main/coffee"]);
  assert.deepEqual(wrong, []);
});

test("new options that name the same place leave the socket alone, and the newest handlers are called", async (t) => {
  const server = await startServer(t, "chat");
  const tea = await peer(t, server, "tea");
  const { page, wrong } = await openPage(t, server, { room: "tea" });
  await isTold(page, "welcome");

  await change(page, { room: "tea", unknown: 1 });
  await page.waitForFunction(() => globalThis.page.rendered === 2);
  tea.say("hello");

  await isTold(page, "said");
  const last = await page.evaluate(() => globalThis.page.told.at(-1));
  assert.equal(last.rendered, 2);
  assert.equal(await page.evaluate(() => globalThis.page.natives.length), 1);
  assert.deepEqual(wrong, []);
});

test("StrictMode mounts twice under one id, and exactly one connection lives", async (t) => {
  const server = await startServer(t, "refresh", { REFRESH_SECRET: SECRET });
  const { page, wrong } = await openPage(t, server, { room: "apps" }, "strict");
  await isTold(page, "open");

  const post = async () => {
    const headers = { "x-partykit-secret": SECRET };
    const response = await fetch(server.url("/party/apps"), { method: "POST", headers });
    return response.text();
  };
  const one = "Message sent to 1 connected participants";
  // The first socket of the two may still be on its way when the second is open.
  const settled = async () => {
    while ((await post()) !== one);
  };
  await within(settled(), "one connection is counted");
  const from = await toldCount(page);
  assert.equal(await post(), one);
  await isTold(page, "refresh", from);

  assert.equal(await openCount(page), 1);
  const ids = await page.evaluate(() => globalThis.page.natives.map(({ url }) => new URL(url).searchParams.get("_pk")));
  const id = await page.evaluate(() => globalThis.page.socket.id);
  assert.ok(ids.length >= 1 && ids.every((other) => other === id), `${ids}`);

  // The last that the page knew is the last that there is.
  await page.evaluate(() => globalThis.page.unmount());
  const gone = async () => {
    while ((await post()) !== "Message sent to 0 connected participants");
  };
  await within(gone(), "nobody is counted");
  assert.deepEqual(wrong, []);
});

test("`enabled` opens, closes and opens again, all with one socket and one id", async (t) => {
  const server = await startServer(t, "chat");
  const tea = await peer(t, server, "tea");
  const { page, wrong } = await openPage(t, server, { room: "tea", id: "page", enabled: false });
  assert.equal(await page.evaluate(() => globalThis.page.natives.length), 0, "nothing is opened");

  await change(page, { enabled: true });
  await isTold(page, "welcome");
  await send(page, { type: "join", name: "Page" });
  await tea.inbox.nextOf("joined");

  await change(page, { enabled: false });
  assert.equal((await tea.inbox.nextOf("left")).id, "page");
  assert.equal(await openCount(page), 0);

  const from = await toldCount(page);
  await change(page, { enabled: true });
  await isTold(page, "welcome", from);
  const { you } = await page.evaluate(() => globalThis.page.told.findLast(({ type }) => type === "welcome"));
  assert.equal(you, "page");
  assert.equal(await socketsCount(page), 1);
  assert.equal(await openCount(page), 1);
  assert.deepEqual(wrong, []);
});

test("what is buffered goes over to the next socket of the same room", async (t) => {
  const server = await startServer(t, "chat");
  const tea = await peer(t, server, "tea");
  const { page, wrong } = await openPage(t, server, { room: "tea", enabled: false });
  await send(page, { type: "join", name: "Page" });
  await send(page, { type: "say", text: "written before there was a socket" });

  await change(page, { query: { token: "new" }, enabled: true });

  assert.equal((await tea.inbox.nextOf("said")).message.text, "written before there was a socket");
  assert.equal(await socketsCount(page), 2);
  assert.deepEqual(wrong, []);
});

test("what is buffered for one room goes to another only if the page says so", async (t) => {
  const server = await startServer(t, "chat");
  const [coffee, cocoa] = [await peer(t, server, "coffee"), await peer(t, server, "cocoa")];
  const { page, wrong } = await openPage(t, server, { room: "tea", enabled: false });

  await send(page, { type: "join", name: "Page" });
  await send(page, { type: "say", text: "for tea alone" });
  await change(page, { room: "coffee", enabled: true });
  await isTold(page, "welcome");
  await send(page, { type: "join", name: "Page" });
  await send(page, { type: "say", text: "for coffee" });
  assert.equal((await coffee.inbox.nextOf("said")).message.text, "for coffee");

  await change(page, { enabled: false, transferEnqueuedMessages: true });
  await page.waitForFunction(() => globalThis.page.openCount === 0);
  await send(page, { type: "join", name: "Page" });
  await send(page, { type: "say", text: "for wherever I am" });
  await change(page, { room: "cocoa", enabled: true });
  assert.equal((await cocoa.inbox.nextOf("said")).message.text, "for wherever I am");
  assert.deepEqual(wrong, []);
});

test("the page comes back by itself after kill -9, with its handlers", async (t) => {
  const server = await startServer(t, "chat");
  const { page, wrong } = await openPage(t, server, { room: "tea", id: "page" });
  await isTold(page, "welcome");

  await server.kill();
  await isTold(page, "close");
  const from = await toldCount(page);
  await server.start();

  await isTold(page, "welcome", from);
  assert.equal(await socketsCount(page), 1);
  assert.deepEqual(wrong, []);
});
