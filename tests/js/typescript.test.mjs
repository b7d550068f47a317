// What the derives write for TypeScript, by its compiler with all that is strict: the page of the chat is right,
// and what is wrong is found.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { bundleChat, scriptPath } from "./bundle-chat.mjs";

const here = dirname(fileURLToPath(import.meta.url));

/** Runs the compiler over the folder of a `tsconfig.json`: whether it found nothing, and what it printed. */
function compile(folder) {
  const compiler = join(here, "node_modules/typescript/bin/tsc");
  return new Promise((resolve) => {
    execFile(process.execPath, [compiler, "-p", folder, "--pretty", "false"], { cwd: here }, (error, printed) => {
      resolve({ passed: error === null, printed });
    });
  });
}

/** What the compiler found, as `{ line, text }` in the order of the lines; what is indented goes on with it. */
function found(printed) {
  const errors = printed.split(/\r?\n(?=\S)/).filter(Boolean);
  return errors.map((error) => {
    const [, line, text] = /^mistakes\/chat\.ts\((\d+),\d+\): error (TS.*)$/s.exec(error) ?? [];
    assert.ok(text, error);
    return { line: Number(line), text };
  });
}

for (const [what, folder] of [
  ["the modules of the server every-message", "."],
  ["the page of the chat", "../../examples/chat/page"],
]) {
  test(`TypeScript finds nothing wrong with ${what}`, async () => {
    const { passed, printed } = await compile(folder);
    assert.ok(passed, printed);
  });
}

test("TypeScript finds each mistake of a page, and nothing else", async () => {
  const lines = (await readFile(join(here, "mistakes/chat.ts"), "utf8")).split(/\r?\n/);
  const expected = lines.flatMap((text, index) => {
    const [, code, words] = /^ *\/\/ (TS\d+): (.+)$/.exec(text) ?? [];
    return code ? [{ line: index + 2, code, words }] : [];
  });
  assert.ok(expected.length > 0);

  const { printed } = await compile("mistakes");
  const errors = found(printed);
  assert.deepEqual(errors.map(({ line }) => line), expected.map(({ line }) => line), printed);
  for (const [index, { line, code, words }] of expected.entries()) {
    const { text } = errors[index];
    const isExpected = text.startsWith(`${code}: `) && text.includes(words);
    assert.ok(isExpected, `line ${line} is to be ${code}, ${words}, and is ${text}`);
  }
});

test("the script of the chat's page is what its TypeScript gives, byte for byte", async () => {
  assert.equal(await readFile(scriptPath, "utf8"), await bundleChat(), "run `npm run bundle` in tests/js");
});
