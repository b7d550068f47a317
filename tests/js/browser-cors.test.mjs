// A page of one server that asks another by plain HTTP, in a real browser.

import assert from "node:assert/strict";
import { test } from "node:test";
import { openWindow } from "./browser.mjs";
import { startServer } from "./server.mjs";

/** Asks as the page does: status and text, or the name of the error. */
async function ask({ url, method = "GET", body }) {
  const headers = body === undefined ? {} : { "content-type": "application/json", "x-token": "1" };
  try {
    const answer = await fetch(url, { method, headers, body });
    return [answer.status, await answer.text()];
  } catch (error) {
    return error.name;
  }
}

test("a page of another origin reads and writes a room that allows it, and no other", async (t) => {
  // `messages` has CORS on, `state` has not.
  const [messages, state] = [await startServer(t, "messages"), await startServer(t, "state")];
  const { window } = await openWindow(t, state);
  const page = await window.newPage();

  // A 404, which is a page of that origin as any other.
  await page.goto(state.url("/"));
  const board = messages.url("/party/board");
  const body = JSON.stringify({ message: "from afar" });
  assert.deepEqual(await page.evaluate(ask, { url: board, method: "POST", body }), [200, "OK"]);
  assert.deepEqual(await page.evaluate(ask, { url: board }), [200, '["from afar"]']);
  assert.deepEqual(await page.evaluate(ask, { url: messages.url("/health") }), [200, "OK, messages: 1"]);
  // Refusals can be read too.
  const refusals = [
    [{ url: board, method: "POST", body: "{" }, 400],
    [{ url: messages.url("/parties/nobody/board") }, 404],
    [{ url: messages.url("/nothing") }, 404],
  ];
  for (const [request, status] of refusals) {
    assert.equal((await page.evaluate(ask, request))[0], status);
  }

  await page.goto(messages.url("/health"));
  assert.equal(await page.evaluate(ask, { url: state.url("/party/tea") }), "TypeError");
  assert.equal((await page.evaluate(ask, { url: board }))[0], 200);
});
