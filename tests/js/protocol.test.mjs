// What partyrs writes of a protocol is true: a message is one by the JSON Schema if and only if the room reads it,
// and what a room sends is what the schema says.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { decode, encode } from "@msgpack/msgpack";
import { Ajv } from "ajv";
import { Ajv2020 } from "ajv/dist/2020.js";
import { build } from "esbuild";
import PartySocket from "partysocket";
import WebSocket from "ws";
import { startServer } from "./server.mjs";
import { Inbox, event } from "./waiting.mjs";

const here = dirname(fileURLToPath(import.meta.url));

/**
 * What stands in the place of a value, one after the other. None of the numbers is beyond an `f32`, since what is
 * becomes infinite when it is read, for which JSON has no number.
 */
const OTHERS = [null, true, "", "x", "red", "far too long", 0, 1, -1, 1.5, 300, 1e30, [], [1], ["x"], {}, { kind: "dot-dot" }, undefined];

const { outputFiles } = await build({
  absWorkingDir: here,
  entryPoints: [join("protocol", "samples.ts")],
  bundle: true,
  format: "esm",
  write: false,
});
const samples = await import(`data:text/javascript,${encodeURIComponent(outputFiles[0].text)}`);

/** Validators of both directions of a party. */
async function schemas(party) {
  const schema = JSON.parse(await readFile(join(here, "protocol", `${party}.json`), "utf8"));
  // The formats of numbers say nothing that their limits do not.
  const formats = { "date-time": (text) => !Number.isNaN(Date.parse(text)) };
  for (const name of ["double", "float"]) formats[name] = true;
  for (const bits of ["", "8", "16", "32", "64", "128"]) formats[`int${bits}`] = formats[`uint${bits}`] = true;
  const ajv = new Ajv2020({ strict: false, formats });
  const validate = (max, text) => Buffer.byteLength(text) <= max;
  ajv.addKeyword({ keyword: "x-maxBytes", type: "string", validate });
  ajv.addSchema(schema, "protocol");
  return ["ClientMessage", "RoomMessage"].map((name) => ajv.getSchema(`protocol#/$defs/${name}`));
}

/** The value with each value in it, at whatever depth, replaced by each of `OTHERS`, one at a time. */
function* variations(value) {
  if (typeof value === "object" && value !== null) {
    for (const key of Object.keys(value)) {
      for (const other of variations(value[key])) {
        // For JSON Schema this is an integer, and not for serde; of the types here only that of `wide` holds it.
        if (key === "wide" && other === 1e30) continue;
        const copy = Array.isArray(value) ? [...value] : { ...value };
        copy[key] = other;
        yield copy;
      }
    }
    if (Array.isArray(value)) yield [...value, 1];
    // serde takes no other keys in a `Duration`, which schemars does not know.
    else if (!("secs" in value)) yield { ...value, "a key of nobody's": 1 };
  }
  yield* OTHERS;
}

for (const [party, messages] of [["every", samples.everyMessages], ["apart", samples.apartMessages]]) {
  test(`a room of \`${party}\` reads exactly what its schema allows, and sends what its schema says`, async (t) => {
    const server = await startServer(t, "every-message");
    const [ofClient, ofRoom] = await schemas(party);
    const socket = new PartySocket({ host: server.host, party, room: "tea", WebSocket });
    t.after(() => socket.close());
    const inbox = new Inbox(socket);
    await event(socket, "open");

    let [right, wrong] = [0, 0];
    for (const [name, sample] of Object.entries(messages)) {
      const texts = [...new Set([sample, ...variations(sample)].map((message) => JSON.stringify(message)))];
      texts.filter(Boolean).forEach((text) => socket.send(text));
      for (const text of texts.filter(Boolean)) {
        const answer = await inbox.next();
        const isRead = !("error" in answer);
        assert.equal(ofClient(JSON.parse(text)), isRead, `${name}: ${text} ${JSON.stringify(answer)}`);
        if (isRead || party === "every") assert.ok(ofRoom(answer), `${JSON.stringify(answer)} ${JSON.stringify(ofRoom.errors)}`);
        if (isRead) right += 1;
        else wrong += 1;
      }
    }
    t.diagnostic(`${right} messages were read and ${wrong} were refused, by both`);
    assert.ok(right > 20 && wrong > 20, "both happen");
  });
}

test("the AsyncAPI document of a host is one, and has every message of both directions", async (t) => {
  const server = await startServer(t, "every-message");
  const document = await (await fetch(server.url("/asyncapi.json"))).json();
  const specification = createRequire(import.meta.url)("@asyncapi/specs/schemas/3.0.0-without-$id.json");
  const ajv = new Ajv({ strict: false, validateFormats: false });
  const isRight = ajv.compile(specification);
  assert.ok(isRight(document), JSON.stringify(isRight.errors, null, 1));

  // Each reference leads somewhere.
  const broken = [];
  JSON.stringify(document, (key, value) => {
    if (key === "$ref" && typeof value === "string") {
      const found = value.slice(2).split("/").reduce((part, name) => part?.[name], document);
      if (found === undefined) broken.push(value);
    }
    return value;
  });
  assert.deepEqual(broken, []);

  // What is said of a message is what a room reads, for this older JSON Schema too.
  const { messages, schemas } = document.components;
  for (const [name, sample] of Object.entries(samples.everyMessages)) {
    const { payload } = messages[`every-receive-${name}`];
    const validate = new Ajv({ strict: false, validateFormats: false }).compile({ ...payload, components: { schemas } });
    assert.ok(validate(sample), `${name} ${JSON.stringify(validate.errors)}`);
    assert.ok(!validate({ ...sample, type: "another" }), name);
  }
  assert.equal(messages["every-receive-binary-frame"].contentType, "application/octet-stream");
  assert.ok("every-send-error" in messages && !("every-receive-error" in messages));
});

test("a room reads and sends MessagePack as the npm package does", async (t) => {
  const server = await startServer(t, "every-message");
  const socket = new PartySocket({ host: server.host, party: "packed", room: "tea", WebSocket });
  t.after(() => socket.close());
  socket.binaryType = "arraybuffer";
  await event(socket, "open");

  const points = Array.from({ length: 100 }, (_, index) => [index, index / 2]);
  const track = { type: "track", name: "é 🙂", points, note: null, large: -(2 ** 40), by_name: { a: true } };
  for (const message of [track, { type: "stop" }]) {
    const answered = event(socket, "message");
    socket.send(encode(message));
    assert.deepEqual(decode((await answered).data), message);
  }

  const told = event(socket, "message");
  socket.send(encode({ type: "track", name: 7 }));
  assert.match(JSON.parse((await told).data).error, /^not the MessagePack of a message: /);
});
