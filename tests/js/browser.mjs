// A browser without a window, for the tests that look at a page as a person does.

import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { DEADLINE_MS } from "./waiting.mjs";

const here = dirname(fileURLToPath(import.meta.url));

// The browser asks nobody but the server under test. Its own sandbox does not work for root, as whom
// containers and CI run, and is not needed for pages of ours.
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/**
 * Starts Chromium for the test `t`, with a profile of its own, and gives a window of it.
 *
 * The program is `CHROMIUM`, or Debian's. Tabs of the window share what a site may store. The test
 * fails if a page throws, or asks any other host than `server`. `options` are those of a Playwright context.
 */
export async function openWindow(t, server, options = {}) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    args: FLAGS,
    timeout: 2 * DEADLINE_MS,
  });
  t.after(() => browser.close());
  const window = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  window.setDefaultTimeout(DEADLINE_MS);
  const wrong = [];
  window.on("weberror", (error) => wrong.push(error.error().stack));
  window.on("request", (request) => {
    const { protocol, host } = new URL(request.url());
    if (protocol !== "data:" && host !== server.host) wrong.push(`asked ${request.url()}`);
  });
  return { window, wrong };
}

/** Saves what `page` shows, for people to look at; `name` says what it is. */
export async function screenshot(page, name) {
  const folder = process.env.PARTYRS_SCREENSHOTS_DIR || join(here, "../../target/screenshots");
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`) });
}
