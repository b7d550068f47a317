// What partyrs writes for pages, in a page: the generated clients send and hear every message there is.

import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { openWindow } from "./browser.mjs";
import { startServer } from "./server.mjs";

const { outputFiles } = await build({
  absWorkingDir: dirname(fileURLToPath(import.meta.url)),
  entryPoints: [join("protocol", "page.ts")],
  bundle: true,
  format: "esm",
  write: false,
});

test("every message goes to a room and comes back the same by the generated clients", async (t) => {
  const server = await startServer(t, "every-message");
  const { window, wrong } = await openWindow(t, server);
  const page = await window.newPage();
  assert.equal((await page.goto(server.url("/protocol"))).status(), 404, "there is no such page; the script makes it");
  await page.addScriptTag({ content: outputFiles[0].text, type: "module" });
  await page.waitForFunction(() => globalThis.page.heard.length >= 22);

  const { sent, heard, bytes, unknown, errors } = await page.evaluate(() => globalThis.page);
  assert.deepEqual(heard, sent);
  assert.deepEqual(bytes, [0, 1, 255]);
  assert.deepEqual(unknown, []);
  assert.deepEqual(errors, ["`ruled.name` must have 1 to 5 characters | ruled.name | len | 5"]);
  assert.deepEqual(wrong, []);
});
