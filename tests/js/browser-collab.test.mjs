// The page of the collab example in a real browser.

import assert from "node:assert/strict";
import { test } from "node:test";
import { openWindow, screenshot } from "./browser.mjs";
import { startServer } from "./server.mjs";

test("two windows see each other's pointer", async (t) => {
  const server = await startServer(t, "collab");
  const { window, wrong } = await openWindow(t, server);
  const pages = [];
  for (const name of ["Ada", "Bob"]) {
    const page = await window.newPage();
    await page.goto(server.url("/?room=tea"));
    await page.getByRole("status").filter({ hasText: "Live" }).waitFor();
    await page.getByLabel("Your name").fill(name);
    await page.getByLabel("Your name").press("Enter");
    await page.getByText(`${name} (you)`).waitFor();
    pages.push(page);
  }
  const [ada, bob] = pages;
  await ada.getByRole("list", { name: "Here now" }).getByText("Bob", { exact: true }).waitFor();

  await ada.bringToFront();
  await ada.mouse.move(300, 300);
  await ada.mouse.move(640, 420, { steps: 5 });
  const cursor = bob.locator(".cursor");
  await cursor.getByText("Ada", { exact: true }).waitFor();
  // Both windows are of one size, so the pointer is at the same place in both.
  await bob.waitForFunction(() => {
    const { left, top } = document.querySelector(".cursor").getBoundingClientRect();
    return Math.abs(left - 640) < 2 && Math.abs(top - 420) < 2;
  });
  await screenshot(bob, "collab");

  await ada.close();
  await cursor.waitFor({ state: "detached" });
  assert.deepEqual(wrong, []);
});

test("on a phone a tap is a pointer", async (t) => {
  const server = await startServer(t, "collab");
  const phone = { viewport: { width: 360, height: 640 }, hasTouch: true, isMobile: true };
  const { window, wrong } = await openWindow(t, server, phone);
  const pages = [];
  for (const name of ["Ada", "Bob"]) {
    const page = await window.newPage();
    await page.goto(server.url("/?room=tea"));
    await page.getByLabel("Your name").fill(name);
    await page.getByLabel("Your name").press("Enter");
    await page.getByText(`${name} (you)`).waitFor();
    pages.push(page);
  }
  const [ada, bob] = pages;
  await ada.bringToFront();
  await ada.touchscreen.tap(120, 400);
  await bob.locator(".cursor").getByText("Ada", { exact: true }).waitFor();
  await screenshot(bob, "collab-phone");
  assert.ok((await bob.evaluate(() => document.documentElement.scrollWidth)) <= 360);
  assert.deepEqual(wrong, []);
});
