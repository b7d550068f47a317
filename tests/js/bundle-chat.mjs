// Makes the script of the chat's page out of its TypeScript.
//
// The page must work with no build step, so the result is kept in the repository, next to the
// `partysocket.js` that it imports. It is not minified: who opens the browser's tools is to read it. Run
// it after a change of the page or of the chat's messages:
//
//     npm run bundle

import { build } from "esbuild";
import { writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const chat = join(dirname(fileURLToPath(import.meta.url)), "../../examples/chat");

const HEADER = `// The script of the chat's page: page/chat.ts and page/protocol/main.ts, without their types, joined by
// esbuild. Made by tests/js/bundle-chat.mjs (\`npm run bundle\` there); do not edit, and read those instead.

`;

/** Where the page finds its script. */
export const scriptPath = join(chat, "public/chat.js");

/** The page finds the npm package in one file beside it. */
const partysocket = {
  name: "partysocket",
  setup({ onResolve }) {
    onResolve({ filter: /^partysocket$/ }, () => ({ path: "./partysocket.js", external: true }));
  },
};

/** The text of the script, made from its sources. */
export async function bundleChat() {
  const { outputFiles } = await build({
    // Comments in the output name files relative to this folder, wherever the repository lies.
    absWorkingDir: chat,
    entryPoints: ["page/chat.ts"],
    bundle: true,
    charset: "utf8",
    format: "esm",
    logLevel: "silent",
    plugins: [partysocket],
    target: "es2022",
    write: false,
  });
  return HEADER + outputFiles[0].text;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  await writeFile(scriptPath, await bundleChat());
  console.log(`${scriptPath} is written`);
}
