// A message for each that the server `every-message` knows, with all of its keys. That there is one for
// each, and that what a room sends may be sent to it, is for the compiler to say.

import type * as apart from "./apart";
import type * as every from "./every";

type EveryEcho = Exclude<every.RoomMessage, { type: "error" }>;

/** By their tags. */
export const everyMessages: { [Name in EveryEcho["type"]]: Extract<EveryEcho, { type: Name }> & every.ClientMessage } = {
  nothing: { type: "nothing" },
  numbers: {
    type: "numbers",
    small: 255,
    signed: -32768,
    large: -9007199254740991,
    largest: 9007199254740991,
    single: 0.5,
    double: 1e300,
    wide: 9007199254740991,
  },
  texts: { type: "texts", text: 'a "b" \\ \n \u2028 é 🙂', letter: "é", 'with "quotes"': "" },
  options: { type: "options", maybe: null, leftOut: "here", orZero: 1, nested: true },
  lists: {
    type: "lists",
    list: ["a", ""],
    pair: [7, "x"],
    three: [1, 2, 3],
    matrix: [[], [0.5]],
    options: [null, 1],
  },
  maps: { type: "maps", byName: { a: [1], "": [] }, byNumber: { "7": true }, ofMaps: { a: { b: 1 }, c: {} } },
  others: {
    type: "others",
    bytes: [0, 255],
    when: "2026-01-02T03:04:05Z",
    wait: { secs: 1, nanos: 500_000_000 },
    any: { x: [null, 1] },
    unit: null,
  },
  figures: {
    type: "figures",
    figures: [
      { kind: "circle", value: 1.5 },
      { kind: "line", value: { ends: [{ fromLeft: 0, fromTop: 1, owner: null }, { fromLeft: 2, fromTop: 3, owner: "ada" }] } },
      { kind: "dot-dot" },
    ],
    ids: [7, "seven"],
    colour: "green",
    tree: { children: [{ children: [] }] },
  },
  move: { type: "move", fromLeft: 0.5, fromTop: 1.5, owner: "ada" },
  draw: { type: "draw", kind: "circle", value: 2.5 },
  flat: { type: "flat", name: "a", fromLeft: 0.5, fromTop: 1.5, owner: null },
  rest: { type: "rest", name: "a", more: [1], andMore: null },
  ruled: { type: "ruled", name: "ada", sign: -1, words: ["four", ""], slug: "slug" },
  nested: {
    type: "nested",
    seats: [{ rowNumber: 40, names: ["ada"], ticket: "1a", beside: [{ rowNumber: 1, names: [], ticket: null, beside: [] }] }],
  },
};

/** The same with what they say under a key of its own. */
export const apartMessages: { [Name in apart.RoomMessage["op"]]: Extract<apart.RoomMessage, { op: Name }> & apart.ClientMessage } = {
  NOTHING: { op: "NOTHING" },
  EMPTY: { op: "EMPTY", data: {} },
  FIELDS: { op: "FIELDS", data: { name: "a", maybe: 1 } },
  ONE: { op: "ONE", data: 1 },
  PERHAPS: { op: "PERHAPS", data: null },
  SEVERAL: { op: "SEVERAL", data: [1, "a"] },
  MANY: { op: "MANY", data: [{ fromLeft: 0.5, fromTop: 1.5, owner: null }] },
};
