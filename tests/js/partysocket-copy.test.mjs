// The client that the chat page loads is the one that npm gives, and nothing else.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { bundlePartysocket, copyPath } from "./bundle-partysocket.mjs";

test("the page's partysocket.js is the npm package, byte for byte", async () => {
  const copy = await readFile(copyPath, "utf8");
  assert.equal(copy, await bundlePartysocket(), "run `npm run bundle` in tests/js");
});

test("the page's partysocket.js imports nothing", async () => {
  // From a `data:` address nothing can be imported by a path or a package name.
  const copy = await readFile(copyPath, "utf8");
  const { default: PartySocket } = await import(`data:text/javascript,${encodeURIComponent(copy)}`);
  assert.equal(typeof PartySocket, "function");
});
