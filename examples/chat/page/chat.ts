// The page of the chat: what it says and hears stands in PROTOCOL.md and, as types, in protocol/main.ts,
// which is written from the Rust ones. Partysocket keeps the connection.
//
// The browser gets it as ../public/chat.js, which `npm run bundle` in tests/js makes of it.
//
// Two lists are shown, one below the other: what the room has said, by the server's word alone, and what
// this page has written and not yet heard back. A message moves from the second to the first when its
// `said` arrives, so nothing ever looks sent that the room does not have.
//
// Whatever a person wrote reaches the page as `textContent` only.

import PartySocket from "partysocket";
import { connect, type ClientMessage, type Message, type Person } from "./protocol/main";

const NAME_MAX = 40;
const TEXT_MAX = 2000;
const HISTORY = 200; // what a `welcome` carries at most
const SHOWN_MAX = 1000; // what the page keeps of a long evening
const ROOMS_MAX = 6;
const TOGETHER = 5 * 60_000; // messages of one author within this time stand under one name

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const date = new Intl.DateTimeFormat(undefined, { dateStyle: "long" });
const dateAndClock = new Intl.DateTimeFormat(undefined, { dateStyle: "long", timeStyle: "medium" });

/** A message of somebody, whether the room has it or not yet. */
type Words = Pick<Message, "from" | "name" | "text" | "at">;

/** What has become of a message that was written here. */
type Fate = "waiting" | "sending" | "unsure" | "lost" | "refused";

/** A message that was written here and not heard back. */
type Item = { text: string; message: Words; node: HTMLElement; state: Fate };

/** What the room has yet to answer; `sent` is false while there is no connection. */
type Question = { type: ClientMessage["type"]; item: Item | undefined; sent: boolean };

const [log, list, waiting] = [$("log"), $("messages"), $("pending")];
const nameField = $("name", HTMLInputElement);
const textField = $("text", HTMLTextAreaElement);

const wanted = new URLSearchParams(location.search).get("room")?.trim() ?? "";
const room = /^\.{0,2}$/.test(wanted) ? "lobby" : [...wanted].slice(0, 80).join("");

let name = recall("name", "");
let you = ""; // this page's connection id, once the room has told it
let people = new Map<string, string>(); // id -> name
let messages: Message[] = []; // as the room told them, oldest first
let pending: Item[] = []; // in the order in which they were written
let asked: Question[] = []; // in the order in which they were asked
let introduced = false; // whether a `join` is ahead of all that is sent next
let atEnd = true; // whether the reader is at the end of the log
let lastTop = 0; // how far the log was scrolled when last looked at
let frame = 0; // in which the log goes to its end
let missed = 0; // messages below the reader's view
let unread = 0; // messages while the page was in the background

// ---------------------------------------------------------------- the connection

const isSecure = location.protocol === "https:";
const idOfTab = takeId();
const chat = connect({
  host: location.host,
  protocol: isSecure ? "wss" : "ws",
  room: encodeURIComponent(room),
  ...(idOfTab === undefined ? {} : { id: idOfTab }),
  // Partysocket adds no chance of its own, and a room may have many pages that come back at once.
  minReconnectionDelay: 300 + 700 * Math.random(),
  reconnectionDelayGrowFactor: 1.5,
  maxReconnectionDelay: 5000,
});
const { socket } = chat;
Object.assign(globalThis, { socket }); // to play with: `socket.send("nonsense")` in the console shows the room's answer

socket.addEventListener("open", () => {
  // Partysocket has just sent what was queued.
  for (const question of asked) question.sent = true;
  for (const item of pending) if (item.state === "waiting") show(item, "sending");
  introduce();
});

socket.addEventListener("close", () => {
  // What was on its way may have arrived or not; the next `welcome` tells.
  for (const { item, sent } of asked) if (sent && item) show(item, "unsure");
  asked = asked.filter((question) => !question.sent);
  introduced = asked.some((question) => question.type === "join");
  connection(you ? "reconnecting" : "connecting");
});

window.addEventListener("online", () => {
  if (socket.readyState !== PartySocket.OPEN) socket.reconnect();
});

chat.on("welcome", (told) => {
  you = told.you;
  people = new Map(told.people.map((person) => [person.id, person.name]));
  // Nothing is ever deleted, so what is shown can stay if the history goes on from it.
  const last = messages.at(-1);
  const known = told.messages.findIndex(({ id, at }) => id === last?.id && at === last.at);
  if (known < 0) {
    messages = [];
    list.replaceChildren();
  }
  keepPlace(() => told.messages.slice(known + 1).forEach(arrive));
  for (const item of pending) if (item.state === "unsure") show(item, "lost");
  connection("live");
  showPeople();
  showIntro();
  // The log is spoken from now on: what is new, not the whole history.
  setTimeout(() => log.setAttribute("aria-live", "polite"), 500);
});

chat.on("said", ({ message }) => {
  const own = message.from === you;
  const added = keepPlace(() => arrive(message));
  if (!own && !added) missed += 1;
  if (!own && document.hidden) unread += 1;
  showMissed();
  showTitle();
  showIntro();
});

chat.on("joined", ({ person }) => {
  const before = people.get(person.id);
  people.set(person.id, person.name);
  if (person.id === you) answered("join");
  if (before && before !== person.name) note(person, "renamed", `${before} is now ${person.name}`);
  if (!before && person.id !== you) note(person, "joined", `${person.name} joined`);
  showPeople();
});

chat.on("left", ({ id }) => {
  const gone = people.get(id);
  people.delete(id);
  if (gone) note({ id, name: gone }, "left", `${gone} left`);
  showPeople();
});

chat.on("error", ({ error }) => {
  const question = asked[0]?.sent ? asked.shift() : undefined;
  if (question?.item) show(question.item, "refused", error);
  else if (question?.type === "join") refuseName(error);
  else complain(error);
});

/** Sends a message that the room will answer. Partysocket queues it while there is no connection. */
function ask(message: ClientMessage, item?: Item): boolean {
  const sent = chat.send(message);
  asked.push({ type: message.type, item, sent });
  return sent;
}

/** Says who we are, unless that is under way on this connection or waits for the next. */
function introduce(): void {
  if (!name || introduced) return;
  introduced = true;
  ask({ type: "join", name });
}

function answered(type: Question["type"], item?: Item): void {
  const index = asked.findIndex((question) => question.type === type && question.item === item);
  if (index >= 0) asked.splice(index, 1);
}

function say(text: string): void {
  const message: Words = { text, from: you, name, at: Date.now() };
  const node = messageNode(message);
  node.classList.toggle("follows", follows(message, pending.at(-1)?.message ?? lastShown()));
  const item: Item = { text, message, node, state: "waiting" };
  pending.push(item);
  send(item);
}

function send(item: Item): void {
  introduce();
  show(item, ask({ type: "say", text: item.text }, item) ? "sending" : "waiting");
  waiting.append(item.node);
  toEnd();
}

/** Takes a message of the room into the list; if it was written here, from the list below it. */
function arrive(message: Message): void {
  const same = pending.filter(({ text, state }) => text === message.text && state !== "refused");
  const item = same.find(({ state }) => state === "sending") ?? same[0];
  if (item && message.from === you) forget(item);

  const node = messageNode(message);
  const last = messages.at(-1);
  if (last && day(last.at) === day(message.at)) node.classList.toggle("follows", follows(message, lastShown()));
  else list.append(element("li", "day", day(message.at)));

  list.append(node);
  messages.push(message);
  if (messages.length > SHOWN_MAX) {
    messages.shift();
    list.querySelector(".message")?.remove();
  }
}

/** The last message, unless something else stands below it. */
function lastShown(): Words | undefined {
  return list.lastElementChild?.classList.contains("message") ? messages.at(-1) : undefined;
}

function follows(message: Words, last: Words | undefined): boolean {
  return last?.from === message.from && last.name === message.name && message.at - last.at < TOGETHER;
}

function forget(item: Item): void {
  answered("say", item);
  pending = pending.filter((other) => other !== item);
  item.node.remove();
}

// ---------------------------------------------------------------- the log

function messageNode({ from, name: author, text, at }: Words): HTMLElement {
  const node = element("li", "message");
  const mine = from === you;
  node.classList.toggle("mine", mine);

  const time = element("time", "", clock.format(at));
  time.dateTime = new Date(at).toISOString();
  time.title = dateAndClock.format(at);
  const meta = element("p", "meta");
  meta.append(element("b", "author", mine ? "You" : author), " ", time);

  const words = element("p", "text", text);
  words.dir = "auto";
  words.title = time.title;
  node.append(...(mine ? [] : [avatar(author)]), meta, words);
  return node;
}

/** Shows what has become of a message that was written here. */
function show(item: Item, state: Fate, reason = ""): void {
  item.state = state;
  item.node.dataset.state = state;
  item.node.querySelector(".fate")?.remove();
  const fate = element("p", "fate");
  const put = (label: string, action: () => void) => {
    const button = element("button", "link", label);
    button.addEventListener("click", action);
    fate.append(" ", button);
  };
  if (state === "waiting") fate.append("Not sent yet");
  if (state === "unsure") fate.append("Sent, but not heard back");
  if (state === "lost") {
    fate.append("Did not arrive.");
    put("Send again", () => send(item));
  }
  if (state === "refused") {
    fate.append(`Refused: ${reason}.`);
    put("Edit", () => {
      forget(item);
      textField.value = [item.text, textField.value].filter(Boolean).join("\n");
      textField.dispatchEvent(new Event("input"));
      textField.focus();
    });
  }
  if (fate.firstChild) item.node.append(fate);
}

/** Who came, went or was renamed: one quiet line between two messages, with one entry for each person. */
function note({ id, name: who }: Person, event: "joined" | "left" | "renamed", text: string): void {
  keepPlace(() => {
    let line = list.lastElementChild;
    if (!line?.classList.contains("note")) {
      line = element("li", "note");
      list.append(line);
    }
    const entries = [...line.querySelectorAll("span")];
    const gone = entries.find(({ dataset }) => dataset.event === "left" && dataset.name === who);
    if (event === "joined" && gone) {
      gone.remove(); // Someone who reloads the page leaves and joins: that is no news.
    } else {
      entries.find(({ dataset }) => dataset.id === id)?.remove();
      const entry = element("span", "", text);
      Object.assign(entry.dataset, { id, event, name: who });
      line.append(entry);
    }
    if (!line.children.length) line.remove();
  });
}

/** Changes the log; a reader at its end stays there, one who has scrolled up is not moved. */
function keepPlace(change: () => void): boolean {
  const follow = atEnd;
  change();
  if (follow) toEnd();
  return follow;
}

function toEnd(): void {
  atEnd = true;
  missed = 0;
  showMissed();
  // Once a frame: to measure the log after each of many messages is slow.
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(() => (log.scrollTop = log.scrollHeight));
}

log.addEventListener("scroll", () => {
  // Only going up leaves the end: a log that grows or gets smaller has not been scrolled by its reader.
  const goesUp = log.scrollTop < lastTop;
  lastTop = log.scrollTop;
  atEnd = log.scrollHeight - lastTop - log.clientHeight < 60 || (atEnd && !goesUp);
  if (atEnd) missed = 0;
  showMissed();
});
// The keyboard of a phone, or a message field that grows, makes the log smaller.
new ResizeObserver(() => {
  if (atEnd) toEnd();
}).observe(log);
$("newer").addEventListener("click", toEnd);

function showMissed(): void {
  $("newer").hidden = atEnd;
  $("newer").textContent = missed ? `${missed} new ${missed === 1 ? "message" : "messages"}` : "To the latest";
}

function showIntro(): void {
  $("intro-title").textContent = messages.length ? `This is #${room}` : `Nobody has said anything in #${room} yet`;
  $("earlier").hidden = messages.length < HISTORY;
}

// ---------------------------------------------------------------- around the log

function connection(state: "connecting" | "live" | "reconnecting"): void {
  $("connection").dataset.state = state;
  $("connection").textContent = { connecting: "Connecting", live: "Live", reconnecting: "Reconnecting" }[state];
  $("offline").hidden = state !== "reconnecting";
}

function showTitle(): void {
  document.title = `${unread ? `(${unread}) ` : ""}#${room} · partyrs chat`;
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) unread = 0;
  showTitle();
});

function showPeople(): void {
  const here = [...people].sort(([a, x], [b, y]) => Number(b === you) - Number(a === you) || x.localeCompare(y));
  $("people").replaceChildren(
    ...here.map(([id, who]) => {
      const entry = element("li");
      const label = element("span", "name", who);
      label.dir = "auto";
      entry.append(avatar(who), label);
      if (id === you) entry.append(element("span", "tag", "you"));
      return entry;
    }),
  );
  if (!here.length) $("people").append(element("li", "nobody", "Nobody has joined yet"));
  $("people-count").textContent = here.length ? `${here.length}` : "";
  $("here").textContent = here.length ? `${here.length} here` : "";
  showRooms();
}

const rooms = [...new Set([room, ...recall<string[]>("rooms", []), "lobby"])].slice(0, ROOMS_MAX);
const peopleIn = new Map<string, number>(); // of the other rooms, when last asked
remember("rooms", rooms);

function showRooms(): void {
  $("rooms").replaceChildren(
    ...rooms.map((other) => {
      const link = element("a");
      link.href = `?${new URLSearchParams({ room: other })}`;
      link.append(element("span", "name", other));
      if (other === room) link.setAttribute("aria-current", "page");
      const count = other === room ? people.size : peopleIn.get(other);
      if (count) {
        const label = element("span", "count", `${count}`);
        label.title = `${count} here now`;
        link.append(label);
      }
      const entry = element("li");
      entry.append(link);
      return entry;
    }),
  );
}

/** Asks the other rooms, by HTTP, how many people they have. */
async function countRooms(): Promise<void> {
  if (document.hidden) return;
  const others = rooms.filter((other) => other !== room);
  await Promise.allSettled(
    others.map(async (other) => {
      const response = await PartySocket.fetch({
        host: location.host,
        protocol: isSecure ? "https" : "http",
        party: "main",
        room: encodeURIComponent(other),
      });
      if (!response.ok) return;
      const summary: { people: number } = await response.json();
      peopleIn.set(other, summary.people);
    }),
  );
  showRooms();
}

function complain(text: string): void {
  $("notice").hidden = false;
  within($("notice"), "p").textContent = `The room answered: ${text}`;
}
within($("notice"), "button").addEventListener("click", () => ($("notice").hidden = true));

$("share").hidden = !navigator.clipboard;
$("share").addEventListener("click", async () => {
  const label = within($("share"), "span");
  await navigator.clipboard.writeText(hereUrl());
  label.textContent = "Copied";
  setTimeout(() => (label.textContent = "Copy link"), 2000);
});

// ---------------------------------------------------------------- what is written

function askName(error = ""): void {
  $("name-form").hidden = false;
  $("say-form").hidden = true;
  nameField.value = name;
  $("name-error").textContent = error;
  $("name-why").hidden = Boolean(name);
  $("name-cancel").hidden = !name;
  $("name-send").textContent = name ? "Change" : "Join";
}

/** The room did not take the name: back to the one that it knows, if there is one. */
function refuseName(error: string): void {
  const refused = name;
  name = people.get(you) ?? "";
  introduced = Boolean(name);
  remember("name", name);
  askName(error);
  nameField.value = refused;
}

function writeMessages(): void {
  $("name-form").hidden = true;
  $("say-form").hidden = !name;
  $("me").textContent = name;
}

$("name-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const chosen = nameField.value.trim();
  const length = [...chosen].length;
  if (length < 1 || length > NAME_MAX) {
    $("name-error").textContent = length ? `${length} characters are too many, ${NAME_MAX} is the limit` : "A name is needed";
    nameField.focus();
    return;
  }
  name = chosen;
  remember("name", name);
  introduced = true;
  ask({ type: "join", name });
  writeMessages();
  textField.focus();
});

$("rename").addEventListener("click", () => {
  askName();
  nameField.select();
});
$("name-cancel").addEventListener("click", () => {
  writeMessages();
  textField.focus();
});
nameField.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && name) $("name-cancel").click();
});

$("say-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = textField.value.trim();
  if (!text || [...text].length > TEXT_MAX) return textField.focus();
  $("notice").hidden = true;
  textField.value = "";
  textField.dispatchEvent(new Event("input"));
  say(text);
});

textField.addEventListener("input", () => {
  const left = TEXT_MAX - [...textField.value.trim()].length;
  const count = $("text-count");
  count.textContent = left < 0 ? `${-left} too many to send` : left <= 200 ? `${left} left` : "";
  count.classList.toggle("error", left < 0);
  textField.setAttribute("aria-invalid", `${left < 0}`);
  $("say-send", HTMLButtonElement).disabled = left < 0;
});

textField.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("say-form", HTMLFormElement).requestSubmit();
});

// ---------------------------------------------------------------- small things

/** The element of the page with this id, which is of this kind. */
function $(id: string): HTMLElement;
function $<Kind extends HTMLElement>(id: string, kind: new () => Kind): Kind;
function $(id: string, kind: new () => HTMLElement = HTMLElement): HTMLElement {
  const found = document.getElementById(id);
  if (found instanceof kind) return found;
  throw new TypeError(`the page has no ${kind.name} called ${id}`);
}

function within<Tag extends keyof HTMLElementTagNameMap>(outer: HTMLElement, tag: Tag): HTMLElementTagNameMap[Tag] {
  const found = outer.querySelector(tag);
  if (found) return found;
  throw new TypeError(`the page has no ${tag} in ${outer.id}`);
}

function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  className = "",
  text = "",
): HTMLElementTagNameMap[Tag] {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.textContent = text;
  return node;
}

/** A round letter in a colour that belongs to the name. */
function avatar(who: string): HTMLElement {
  const node = element("span", "avatar", [...who].slice(0, 1).join("").toLocaleUpperCase());
  const hue = [...who].reduce((sum, letter) => (sum * 31 + (letter.codePointAt(0) ?? 0)) % 360, 7);
  node.style.setProperty("--hue", `${hue}`);
  node.ariaHidden = "true";
  return node;
}

function day(at: number): string {
  const days = Math.round((new Date().setHours(0, 0, 0, 0) - new Date(at).setHours(0, 0, 0, 0)) / 86_400_000);
  return days === 0 ? "Today" : days === 1 ? "Yesterday" : date.format(at);
}

function hereUrl(): string {
  return `${location.origin}${location.pathname}?${new URLSearchParams({ room })}`;
}

/**
 * The connection id of this tab: the same after a reload, so that one's messages stay one's own. It is out of
 * the storage while the page is open, since a duplicated tab gets a copy of the storage.
 */
function takeId(): string | undefined {
  try {
    const id = sessionStorage.getItem("id") ?? undefined;
    sessionStorage.removeItem("id");
    window.addEventListener("pagehide", () => sessionStorage.setItem("id", chat.socket.id));
    return id;
  } catch {
    return undefined;
  }
}

/** What this browser kept for the chat; a browser may refuse to keep anything. */
function recall<Value>(key: string, otherwise: Value): Value {
  try {
    return JSON.parse(localStorage.getItem(`chat-${key}`) ?? "null") ?? otherwise;
  } catch {
    return otherwise;
  }
}

function remember(key: string, value: unknown): void {
  try {
    localStorage.setItem(`chat-${key}`, JSON.stringify(value));
  } catch {
    // It is asked again next time.
  }
}

// ---------------------------------------------------------------- the start

$("room").textContent = room;
textField.placeholder = `Write to #${room}`;
for (const link of document.querySelectorAll<HTMLAnchorElement>(".second-tab")) link.href = hereUrl();
if (name) writeMessages();
else askName();
if (matchMedia("(hover: hover)").matches) (name ? textField : nameField).focus();
showTitle();
showPeople();
countRooms();
setInterval(countRooms, 10_000);
