// Makes the `partysocket.js` of the examples' pages out of the npm package `partysocket`.
//
// The pages must work with no network and no build step, so the client is kept in the
// repository as one ES module beside each. Nothing is changed in it: esbuild joins the files of the
// package, and the licence is put on top. Run it after a change of the version in package.json:
//
//     npm run bundle

import { build } from "esbuild";
import { readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));

/** Where the pages find their client. */
export const copyPaths = ["chat", "collab"].map((name) => join(here, "../../examples", name, "public/partysocket.js"));

/** The text of the module, made from the installed package. */
export async function bundlePartysocket() {
  const folder = join(here, "node_modules/partysocket");
  const { version } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
  const licence = await readFile(join(folder, "LICENSE.txt"), "utf8");
  const { outputFiles } = await build({
    // Comments in the output name files relative to this folder, wherever the repository lies.
    absWorkingDir: here,
    entryPoints: ["node_modules/partysocket/dist/index.js"],
    bundle: true,
    charset: "utf8",
    format: "esm",
    legalComments: "inline",
    logLevel: "silent",
    target: "es2022",
    write: false,
  });
  return header(version, licence) + outputFiles[0].text;
}

function header(version, licence) {
  const lines = [
    `partysocket ${version}, the npm package, bundled into one ES module by esbuild.`,
    "Made by tests/js/bundle-partysocket.mjs (`npm run bundle` there); do not edit.",
    "",
    ...licence.trim().split(/\r?\n/),
  ];
  return lines.map((line) => `// ${line}`.trimEnd() + "\n").join("") + "\n";
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  for (const path of copyPaths) {
    await writeFile(path, await bundlePartysocket());
    console.log(`${path} is written`);
  }
}
