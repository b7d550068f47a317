// The page of the chat example over https, in a real browser.

import assert from "node:assert/strict";
import { test } from "node:test";
import { openWindow } from "./browser.mjs";
import { startSecure } from "./secure.mjs";

test("the page of the chat is served over https and talks over wss", async (t) => {
  const { server } = await startSecure(t);
  const { window, wrong } = await openWindow(t, server, { ignoreHTTPSErrors: true });
  const page = await window.newPage();
  await page.goto(`https://${server.host}/?room=tea`);
  await page.getByRole("status").filter({ hasText: "Live" }).waitFor();
  await page.getByLabel("Your name").fill("Ada");
  await page.getByRole("button", { name: "Join" }).click();
  await page.getByLabel("Your message").fill("Said over TLS");
  await page.getByLabel("Your message").press("Enter");
  await page.getByRole("log").getByText("Said over TLS", { exact: true }).waitFor();
  assert.deepEqual(wrong, []);
});
