// The page of the chat example in a real browser, used as a person uses it: by what it shows and is labelled.

import assert from "node:assert/strict";
import { test } from "node:test";
import { openWindow, screenshot } from "./browser.mjs";
import { startServer } from "./server.mjs";

const TEXT_MAX = 2000;

/** A tab in the room `tea`, once it is connected. */
async function openTab(window, server) {
  const page = await window.newPage();
  await page.goto(server.url("/?room=tea"));
  await shows(page, "status", "Live");
  return page;
}

async function join(page, name) {
  await page.getByLabel("Your name").fill(name);
  await page.getByRole("button", { name: "Join" }).click();
  await page.getByLabel("Your message").waitFor();
}

async function say(page, text) {
  await page.getByLabel("Your message").fill(text);
  await page.getByLabel("Your message").press("Enter");
}

/** Waits until the part of the page with this role has `text` in it. */
function shows(page, role, text) {
  return page.getByRole(role).filter({ hasText: text }).waitFor();
}

/** Waits until the log shows `text`. */
function hears(page, text) {
  return page.getByRole("log").getByText(text, { exact: true }).waitFor();
}

test("two tabs talk, and find their history after the server was killed", async (t) => {
  const server = await startServer(t, "chat");
  const { window, wrong } = await openWindow(t, server);
  const [ada, bob] = [await openTab(window, server), await openTab(window, server)];
  await join(ada, "Ada");
  await join(bob, "Bob");

  await say(ada, "Is the kettle on?");
  await hears(bob, "Is the kettle on?");
  await say(bob, "It is. Two sugars?");
  await hears(ada, "It is. Two sugars?");
  await screenshot(ada, "chat-desktop");

  await server.kill();
  await shows(ada, "status", "Reconnecting");
  await say(ada, "Said while the server was away");
  await screenshot(ada, "chat-desktop-away");
  await server.start();
  await shows(ada, "status", "Live");
  await hears(bob, "Said while the server was away");

  // A tab that has seen nothing of it gets all from the server.
  const late = await openTab(window, server);
  for (const text of ["Is the kettle on?", "It is. Two sugars?", "Said while the server was away"]) {
    await hears(late, text);
  }
  await late.setViewportSize({ width: 390, height: 844 });
  await screenshot(late, "chat-phone");
  assert.deepEqual(wrong, []);
});

test("a message that is too long cannot be sent, and the page says why", async (t) => {
  const server = await startServer(t, "chat");
  const { window, wrong } = await openWindow(t, server);
  const [ada, bob] = [await openTab(window, server), await openTab(window, server)];
  await join(ada, "Ada");

  const field = ada.getByLabel("Your message");
  await field.fill("x".repeat(TEXT_MAX + 7));
  await ada.getByText("7 too many to send").waitFor();
  assert.equal(await field.getAttribute("aria-invalid"), "true");
  assert.equal(await ada.getByRole("button", { name: "Send" }).isDisabled(), true);
  await field.press("Enter");
  assert.equal((await field.inputValue()).length, TEXT_MAX + 7, "what was written is not lost");
  await screenshot(ada, "chat-too-long");

  await field.fill("x".repeat(TEXT_MAX));
  await field.press("Enter");
  await hears(bob, "x".repeat(TEXT_MAX));
  assert.deepEqual(wrong, []);
});

test("what the server refuses is shown to who sent it", async (t) => {
  const server = await startServer(t, "chat");
  const { window, wrong } = await openWindow(t, server);
  const ada = await openTab(window, server);
  await join(ada, "Ada");
  await say(ada, "before");
  await hears(ada, "before");

  await ada.evaluate(() => globalThis.socket.send("no JSON at all"));
  await shows(ada, "alert", "The room answered");
  await screenshot(ada, "chat-refused");

  await say(ada, "after");
  await hears(ada, "after");
  assert.deepEqual(wrong, []);
});

test("a new name is told to everyone, and another room's page says how many are here", async (t) => {
  const server = await startServer(t, "chat");
  const { window, wrong } = await openWindow(t, server);
  const [ada, bob] = [await openTab(window, server), await openTab(window, server)];
  await join(ada, "Ada");
  await join(bob, "Bob");

  await ada.getByRole("button", { name: "Change name" }).click();
  await ada.getByLabel("Your name").fill("Eva");
  await ada.getByRole("button", { name: "Change" }).click();
  await hears(bob, "Ada is now Eva");

  const elsewhere = await window.newPage();
  await elsewhere.goto(server.url("/?room=lobby"));
  await elsewhere.getByRole("link", { name: "tea" }).getByTitle("2 here now").waitFor();
  assert.deepEqual(wrong, []);
});
