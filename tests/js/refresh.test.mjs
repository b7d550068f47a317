// The refresh example: a pipeline posts, every connected app is told. Its README is run as it stands.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import WebSocket from "ws";
import { runToExit, startServer } from "./server.mjs";
import { event, Inbox, within } from "./waiting.mjs";

const README = new URL("../../examples/refresh/README.md", import.meta.url);

const SECRET = "a secret of the pipeline's own";
const ROOM = "/party/featurevisor";

const startRefresh = (t) => startServer(t, "refresh", { REFRESH_SECRET: SECRET });

/** An app that listens: a bare socket with no `_pk`. */
async function listen(t, server) {
  const socket = new WebSocket(server.socketUrl(ROOM));
  t.after(() => socket.terminate());
  const inbox = new Inbox(socket);
  await event(socket, "open");
  return { socket, inbox };
}

function post(server, headers) {
  return fetch(server.url(ROOM), { method: "POST", headers, body: '{"type":"refresh"}' });
}

test("a post with the secret tells every app and answers how many", async (t) => {
  const server = await startRefresh(t);
  const apps = [await listen(t, server), await listen(t, server), await listen(t, server)];
  const response = await post(server, { "x-partykit-secret": SECRET });
  assert.equal(response.status, 200);
  assert.equal(await response.text(), "Message sent to 3 connected participants");
  for (const { inbox } of apps) assert.deepEqual(await inbox.next(), { type: "refresh" });
});

test("a post with a wrong secret, or with none, gets 401 and tells nobody", async (t) => {
  const server = await startRefresh(t);
  const { socket, inbox } = await listen(t, server);
  const wrong = [{ "x-partykit-secret": `${SECRET}!` }, { "x-partykit-secret": "" }, {}];
  for (const headers of wrong) assert.equal((await post(server, headers)).status, 401);
  assert.equal((await post(server, { "x-partykit-secret": SECRET })).status, 200);

  // The end of the socket is the last that it sees, so nothing can come after the count.
  await inbox.next();
  const closed = event(socket, "close");
  await server.kill();
  await closed;
  assert.equal(inbox.unread, 0);
});

test("other methods find nothing to see", async (t) => {
  const server = await startRefresh(t);
  for (const method of ["GET", "PUT", "DELETE"]) {
    const response = await fetch(server.url(ROOM), { method });
    assert.equal(response.status, 200);
    assert.equal(await response.text(), "Nothing to see here.");
  }
});

test("the program does not start without its secret, and names what is lacking", async (t) => {
  for (const REFRESH_SECRET of [undefined, ""]) {
    const { code, printed } = await runToExit(t, "refresh", { REFRESH_SECRET });
    assert.ok(code > 0, `exit code ${code}`);
    assert.match(printed, /REFRESH_SECRET/);
  }
});

test("the README's step tells the README's app, which fetches the datafile anew", async (t) => {
  const server = await startRefresh(t);
  const cdn = await serveDatafile(t);
  const app = await startApp(t, server, cdn);
  assert.deepEqual(await app.next(), { version: 1 }, "the app loads once it is connected");

  cdn.version = 2;
  const { code, printed } = await runStep(server, SECRET);
  assert.equal(code, 0, printed);
  assert.equal(printed, "Message sent to 1 connected participants");
  assert.deepEqual(await app.next(), { version: 2 });
});

test("the README's app makes up for what it missed while the server was away", async (t) => {
  const server = await startRefresh(t);
  const cdn = await serveDatafile(t);
  const app = await startApp(t, server, cdn);
  await app.next();

  await server.kill();
  cdn.version = 2;
  await server.start();
  assert.deepEqual(await app.next(), { version: 2 });
});

test("the README's step fails with a wrong secret, so that somebody looks", async (t) => {
  const server = await startRefresh(t);
  const { code } = await runStep(server, "a wrong one");
  assert.notEqual(code, 0);
});

/** The one block of the README that is fenced as `language`. */
async function block(language) {
  const text = await readFile(README, "utf8");
  const blocks = [...text.matchAll(/^```(\w*)\n(.*?)^```$/gms)];
  const found = blocks.filter((match) => match[1] === language).map((match) => match[2]);
  assert.equal(found.length, 1, `blocks of ${language} in the README`);
  return found[0];
}

/** Runs the step for the pipeline: its exit code and what it printed. */
async function runStep(server, secret) {
  const env = { ...process.env, REFRESH_URL: server.url(ROOM), REFRESH_SECRET: secret };
  const step = execFile("sh", ["-c", await block("sh")], { env });
  let printed = "";
  step.stdout.on("data", (chunk) => (printed += chunk));
  step.stderr.on("data", (chunk) => (printed += chunk));
  const [code] = await within(once(step, "close"), "the step ends");
  return { code, printed };
}

/** Stands for the CDN: serves a datafile that tells its version. */
async function serveDatafile(t) {
  const cdn = { version: 1 };
  const http = createServer((_, response) => response.end(JSON.stringify({ version: cdn.version })));
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  t.after(() => {
    http.close();
    http.closeAllConnections();
  });
  cdn.url = `http://127.0.0.1:${http.address().port}/datafile.json`;
  return cdn;
}

/** Runs the lines for the app; what it takes as its datafile can be asked for. */
async function startApp(t, server, cdn) {
  const workerData = { lines: await block("js"), datafileUrl: cdn.url, socketUrl: server.socketUrl(ROOM) };
  const worker = new Worker(new URL("refresh-app.mjs", import.meta.url), { workerData });
  t.after(() => worker.terminate());
  const taken = [];
  worker.on("message", (datafile) => taken.push(datafile));
  return {
    async next() {
      while (taken.length === 0) await within(once(worker, "message"), "the app takes a datafile");
      return taken.shift();
    },
  };
}
