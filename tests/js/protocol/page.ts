// A page that sends every message by the generated clients, and keeps what comes back.

import * as apart from "./apart";
import * as every from "./every";
import { apartMessages, everyMessages } from "./samples";

/** What the test looks at. */
const page = {
  sent: [] as unknown[],
  heard: [] as unknown[],
  bytes: [] as number[],
  unknown: [] as unknown[],
  errors: [] as string[],
};
declare global {
  var page: unknown;
}
globalThis.page = page;

const host = location.host;
const all = every.connect({ host, room: "tea" });
for (const name of Object.keys(everyMessages) as (keyof typeof everyMessages)[]) {
  all.on(name, (message) => page.heard.push(message));
}
// The type of a message follows from its name.
all.on("error", ({ error, path, rule, max }) => page.errors.push([error, path, rule, max].join(" | ")));
all.on("move", ({ fromLeft, owner }) => {
  const place: number = fromLeft;
  const who: string | null = owner;
  page.heard.push([place, who]);
});
all.onBinary((data) => page.bytes.push(...new Uint8Array(data)));
all.onUnknown((data) => page.unknown.push(data));

const forgotten = all.on("nothing", () => page.errors.push("it was to be forgotten"));
forgotten();

for (const message of Object.values(everyMessages)) {
  page.sent.push(message);
  all.send(message);
  if (message.type === "move") page.sent.push([message.fromLeft, message.owner]);
}
all.sendBinary(new Uint8Array([0, 1, 255]));
all.send({ type: "ruled", name: "far too long", words: [] });

const other = apart.connect({ host, room: "tea" });
other.onMessage((message) => page.heard.push(message));
all.on("error", () => {
  // The last that the first one hears, so that the two do not mix.
  for (const message of Object.values(apartMessages)) {
    page.sent.push(message);
    other.send(message);
  }
});
