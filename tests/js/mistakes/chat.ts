// What a page of the chat might get wrong, each below the error that TypeScript is to tell.
// `typescript.test.mjs` asks for these errors and for no others; nobody runs this.

import { connect, parse, type ClientMessage, type RoomMessage } from "../../../examples/chat/page/protocol/main";

const chat = connect({ host: "127.0.0.1:1999", room: "tea" });

// A message that the room does not know.
// TS2322: Type '"shout"' is not assignable
chat.send({ type: "shout", text: "Hello" });

// A key that is not there.
// TS2345: Property 'text' is missing
chat.send({ type: "say" });

// A key of another message.
// TS2353: 'name' does not exist
chat.send({ type: "say", text: "Hello", name: "Ada" });

// A value of another type.
// TS2322: Type 'number' is not assignable to type 'string'
chat.send({ type: "join", name: 7 });

// A message of the other direction.
// TS2322: Type '"left"' is not assignable
chat.send({ type: "left", id: "a" });

// Text, which is not the message yet.
// TS2345: Argument of type 'string' is not assignable
chat.send(JSON.stringify({ type: "say", text: "Hello" }));

// Bytes, which this room does not take.
// TS2339: Property 'sendBinary' does not exist
chat.sendBinary(new Uint8Array([1]));

// A listener for what no room sends.
// TS2345: Argument of type '"shouted"' is not assignable
chat.on("shouted", () => {});

// A key that the message does not have.
// TS2339: Property 'text' does not exist
chat.on("said", (told) => console.log(told.text));

// A key of what the message holds, by a wrong name.
// TS2551: Did you mean 'text'?
chat.on("said", ({ message }) => console.log(message.txt));

// A number, taken for a text.
// TS2339: Property 'trim' does not exist on type 'number'
chat.on("said", ({ message }) => console.log(message.at.trim()));

// The first of a list that may be empty.
// TS2532: Object is possibly 'undefined'
chat.on("welcome", ({ people }) => console.log(people[0].name));

// A message that was not asked which one it is.
// TS2339: Property 'person' does not exist
chat.onMessage((told) => console.log(told.person));

// What is no message for this module.
// TS2339: Property 'type' does not exist on type '{}'
chat.onUnknown((data) => console.log((data ?? {}).type));

// A frame that may be no message.
// TS2532: Object is possibly 'undefined'
console.log(parse("{}").type);

// One of the messages is forgotten.
export function nameOf(told: RoomMessage): string {
  if (told.type === "welcome" || told.type === "said") return told.type;
  if (told.type === "joined" || told.type === "left") return told.type;
  // TS2322: Type '{ type: "error"; error: string; }' is not assignable to type 'never'
  const nothing: never = told;
  return nothing;
}

// A room that is not said where.
// TS2345: Property 'host' is missing
connect({ room: "tea" });

// A list of messages, one of which lacks its name.
// TS2322: Property 'name' is missing
export const queued: ClientMessage[] = [{ type: "say", text: "Hello" }, { type: "join" }];
