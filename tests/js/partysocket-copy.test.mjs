// The client that the examples' pages load is the one that npm gives, and nothing else.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { bundlePartysocket, copyPaths } from "./bundle-partysocket.mjs";

test("each page's partysocket.js is the npm package, byte for byte", async () => {
  const bundle = await bundlePartysocket();
  for (const path of copyPaths) {
    assert.equal(await readFile(path, "utf8"), bundle, "run `npm run bundle` in tests/js");
  }
});

test("the pages' partysocket.js imports nothing", async () => {
  // From a `data:` address nothing can be imported by a path or a package name.
  const copy = await readFile(copyPaths[0], "utf8");
  const { default: PartySocket } = await import(`data:text/javascript,${encodeURIComponent(copy)}`);
  assert.equal(typeof PartySocket, "function");
});
