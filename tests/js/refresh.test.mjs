// The refresh example: a pipeline posts, every connected app is told. Its README is run as it stands.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { promisify } from "node:util";
import WebSocket from "ws";
import { runToExit, startServer } from "./server.mjs";
import { event, Inbox, within } from "./waiting.mjs";

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
