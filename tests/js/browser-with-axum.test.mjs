// The page of the with-axum example in a real browser, on the screen of a phone.

import assert from "node:assert/strict";
import { test } from "node:test";
import { openWindow, screenshot } from "./browser.mjs";
import { startServer } from "./server.mjs";

test("who claps is seen by everybody in the hall, whether by the page or by the API", async (t) => {
  const server = await startServer(t, "with-axum");
  const { window, wrong } = await openWindow(t, server, { viewport: { width: 360, height: 640 } });
  const pages = [];
  for (let count = 0; count < 2; count += 1) {
    const page = await window.newPage();
    await page.goto(server.url("/"));
    await page.getByRole("status").filter({ hasText: "Live" }).waitFor();
    pages.push(page);
  }
  const sees = (page, claps) => page.getByLabel("Claps").filter({ hasText: claps }).waitFor();
  await pages[0].getByRole("button", { name: "Clap" }).click();
  for (const page of pages) await sees(page, "1");
  await fetch(server.url("/api/halls/main"), { method: "POST" });
  for (const page of pages) await sees(page, "2");
  await screenshot(pages[1], "with-axum");

  // Nothing is cut off on a phone.
  const { width, button } = await pages[1].evaluate(() => ({
    width: document.documentElement.scrollWidth,
    button: document.querySelector("button").getBoundingClientRect().bottom,
  }));
  assert.ok(width <= 360 && button <= 640, `${width} ${button}`);
  assert.deepEqual(wrong, []);
});
