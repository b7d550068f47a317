// The script of the chat's page: page/chat.ts and page/protocol/main.ts, without their types, joined by
// esbuild. Made by tests/js/bundle-chat.mjs (`npm run bundle` there); do not edit, and read those instead.

// page/chat.ts
import PartySocket2 from "./partysocket.js";

// page/protocol/main.ts
import PartySocket from "./partysocket.js";
var NAMES = /* @__PURE__ */ new Set(["error", "joined", "left", "said", "welcome"]);
function parse(data) {
  if (typeof data !== "string") return void 0;
  let message;
  try {
    message = JSON.parse(data);
  } catch {
    return void 0;
  }
  if (typeof message !== "object" || message === null || !("type" in message)) return void 0;
  return NAMES.has(message["type"]) ? message : void 0;
}
function connect(options) {
  return new Connection(new PartySocket({ party: "main", ...options }));
}
var Connection = class {
  /** What is below: `open`, `close` and `error` events, `reconnect()`, `updateProperties(..)`. */
  socket;
  #listeners = /* @__PURE__ */ new Set();
  #unknownListeners = /* @__PURE__ */ new Set();
  constructor(socket2) {
    this.socket = socket2;
    socket2.addEventListener("message", (event) => this.#receive(event.data));
  }
  /** Calls `listener` with each message of this "type", until the function that it returns is called. */
  on(name2, listener) {
    return this.onMessage((message) => {
      if (message["type"] === name2) listener(message);
    });
  }
  /** Calls `listener` with each message, until the function that it returns is called. */
  onMessage(listener) {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
  /** Calls `listener` with the data of each frame that is no message which this module knows. */
  onUnknown(listener) {
    this.#unknownListeners.add(listener);
    return () => void this.#unknownListeners.delete(listener);
  }
  /** Sends it, and says whether it has left; if not, it waits for a connection. */
  send(message) {
    return this.socket.send(JSON.stringify(message));
  }
  /** Closes the connection for good. */
  close(code, reason) {
    this.socket.close(code, reason);
  }
  #receive(data) {
    const message = parse(data);
    if (message === void 0) {
      for (const listener of [...this.#unknownListeners]) listener(data);
    } else {
      for (const listener of [...this.#listeners]) listener(message);
    }
  }
};

// page/chat.ts
var NAME_MAX = 40;
var TEXT_MAX = 2e3;
var HISTORY = 200;
var SHOWN_MAX = 1e3;
var ROOMS_MAX = 6;
var TOGETHER = 5 * 6e4;
var clock = new Intl.DateTimeFormat(void 0, { timeStyle: "short" });
var date = new Intl.DateTimeFormat(void 0, { dateStyle: "long" });
var dateAndClock = new Intl.DateTimeFormat(void 0, { dateStyle: "long", timeStyle: "medium" });
var [log, list, waiting] = [$("log"), $("messages"), $("pending")];
var nameField = $("name", HTMLInputElement);
var textField = $("text", HTMLTextAreaElement);
var wanted = new URLSearchParams(location.search).get("room")?.trim() ?? "";
var room = /^\.{0,2}$/.test(wanted) ? "lobby" : [...wanted].slice(0, 80).join("");
var name = recall("name", "");
var you = "";
var people = /* @__PURE__ */ new Map();
var messages = [];
var pending = [];
var asked = [];
var introduced = false;
var atEnd = true;
var lastTop = 0;
var frame = 0;
var missed = 0;
var unread = 0;
var isSecure = location.protocol === "https:";
var idOfTab = takeId();
var chat = connect({
  host: location.host,
  protocol: isSecure ? "wss" : "ws",
  room: encodeURIComponent(room),
  ...idOfTab === void 0 ? {} : { id: idOfTab },
  // Partysocket adds no chance of its own, and a room may have many pages that come back at once.
  minReconnectionDelay: 300 + 700 * Math.random(),
  reconnectionDelayGrowFactor: 1.5,
  maxReconnectionDelay: 5e3
});
var { socket } = chat;
Object.assign(globalThis, { socket });
socket.addEventListener("open", () => {
  for (const question of asked) question.sent = true;
  for (const item of pending) if (item.state === "waiting") show(item, "sending");
  introduce();
});
socket.addEventListener("close", () => {
  for (const { item, sent } of asked) if (sent && item) show(item, "unsure");
  asked = asked.filter((question) => !question.sent);
  introduced = asked.some((question) => question.type === "join");
  connection(you ? "reconnecting" : "connecting");
});
window.addEventListener("online", () => {
  if (socket.readyState !== PartySocket2.OPEN) socket.reconnect();
});
chat.on("welcome", (told) => {
  you = told.you;
  people = new Map(told.people.map((person) => [person.id, person.name]));
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
  const question = asked[0]?.sent ? asked.shift() : void 0;
  if (question?.item) show(question.item, "refused", error);
  else if (question?.type === "join") refuseName(error);
  else complain(error);
});
function ask(message, item) {
  const sent = chat.send(message);
  asked.push({ type: message.type, item, sent });
  return sent;
}
function introduce() {
  if (!name || introduced) return;
  introduced = true;
  ask({ type: "join", name });
}
function answered(type, item) {
  const index = asked.findIndex((question) => question.type === type && question.item === item);
  if (index >= 0) asked.splice(index, 1);
}
function say(text) {
  const message = { text, from: you, name, at: Date.now() };
  const node = messageNode(message);
  node.classList.toggle("follows", follows(message, pending.at(-1)?.message ?? lastShown()));
  const item = { text, message, node, state: "waiting" };
  pending.push(item);
  send(item);
}
function send(item) {
  introduce();
  show(item, ask({ type: "say", text: item.text }, item) ? "sending" : "waiting");
  waiting.append(item.node);
  toEnd();
}
function arrive(message) {
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
function lastShown() {
  return list.lastElementChild?.classList.contains("message") ? messages.at(-1) : void 0;
}
function follows(message, last) {
  return last?.from === message.from && last.name === message.name && message.at - last.at < TOGETHER;
}
function forget(item) {
  answered("say", item);
  pending = pending.filter((other) => other !== item);
  item.node.remove();
}
function messageNode({ from, name: author, text, at }) {
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
  node.append(...mine ? [] : [avatar(author)], meta, words);
  return node;
}
function show(item, state, reason = "") {
  item.state = state;
  item.node.dataset.state = state;
  item.node.querySelector(".fate")?.remove();
  const fate = element("p", "fate");
  const put = (label, action) => {
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
function note({ id, name: who }, event, text) {
  keepPlace(() => {
    let line = list.lastElementChild;
    if (!line?.classList.contains("note")) {
      line = element("li", "note");
      list.append(line);
    }
    const entries = [...line.querySelectorAll("span")];
    const gone = entries.find(({ dataset }) => dataset.event === "left" && dataset.name === who);
    if (event === "joined" && gone) {
      gone.remove();
    } else {
      entries.find(({ dataset }) => dataset.id === id)?.remove();
      const entry = element("span", "", text);
      Object.assign(entry.dataset, { id, event, name: who });
      line.append(entry);
    }
    if (!line.children.length) line.remove();
  });
}
function keepPlace(change) {
  const follow = atEnd;
  change();
  if (follow) toEnd();
  return follow;
}
function toEnd() {
  atEnd = true;
  missed = 0;
  showMissed();
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(() => log.scrollTop = log.scrollHeight);
}
log.addEventListener("scroll", () => {
  const goesUp = log.scrollTop < lastTop;
  lastTop = log.scrollTop;
  atEnd = log.scrollHeight - lastTop - log.clientHeight < 60 || atEnd && !goesUp;
  if (atEnd) missed = 0;
  showMissed();
});
new ResizeObserver(() => {
  if (atEnd) toEnd();
}).observe(log);
$("newer").addEventListener("click", toEnd);
function showMissed() {
  $("newer").hidden = atEnd;
  $("newer").textContent = missed ? `${missed} new ${missed === 1 ? "message" : "messages"}` : "To the latest";
}
function showIntro() {
  $("intro-title").textContent = messages.length ? `This is #${room}` : `Nobody has said anything in #${room} yet`;
  $("earlier").hidden = messages.length < HISTORY;
}
function connection(state) {
  $("connection").dataset.state = state;
  $("connection").textContent = { connecting: "Connecting", live: "Live", reconnecting: "Reconnecting" }[state];
  $("offline").hidden = state !== "reconnecting";
}
function showTitle() {
  document.title = `${unread ? `(${unread}) ` : ""}#${room} · partyrs chat`;
}
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) unread = 0;
  showTitle();
});
function showPeople() {
  const here = [...people].sort(([a, x], [b, y]) => Number(b === you) - Number(a === you) || x.localeCompare(y));
  $("people").replaceChildren(
    ...here.map(([id, who]) => {
      const entry = element("li");
      const label = element("span", "name", who);
      label.dir = "auto";
      entry.append(avatar(who), label);
      if (id === you) entry.append(element("span", "tag", "you"));
      return entry;
    })
  );
  if (!here.length) $("people").append(element("li", "nobody", "Nobody has joined yet"));
  $("people-count").textContent = here.length ? `${here.length}` : "";
  $("here").textContent = here.length ? `${here.length} here` : "";
  showRooms();
}
var rooms = [.../* @__PURE__ */ new Set([room, ...recall("rooms", []), "lobby"])].slice(0, ROOMS_MAX);
var peopleIn = /* @__PURE__ */ new Map();
remember("rooms", rooms);
function showRooms() {
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
    })
  );
}
async function countRooms() {
  if (document.hidden) return;
  const others = rooms.filter((other) => other !== room);
  await Promise.allSettled(
    others.map(async (other) => {
      const response = await PartySocket2.fetch({
        host: location.host,
        protocol: isSecure ? "https" : "http",
        party: "main",
        room: encodeURIComponent(other)
      });
      if (!response.ok) return;
      const summary = await response.json();
      peopleIn.set(other, summary.people);
    })
  );
  showRooms();
}
function complain(text) {
  $("notice").hidden = false;
  within($("notice"), "p").textContent = `The room answered: ${text}`;
}
within($("notice"), "button").addEventListener("click", () => $("notice").hidden = true);
$("share").hidden = !navigator.clipboard;
$("share").addEventListener("click", async () => {
  const label = within($("share"), "span");
  await navigator.clipboard.writeText(hereUrl());
  label.textContent = "Copied";
  setTimeout(() => label.textContent = "Copy link", 2e3);
});
function askName(error = "") {
  $("name-form").hidden = false;
  $("say-form").hidden = true;
  nameField.value = name;
  $("name-error").textContent = error;
  $("name-why").hidden = Boolean(name);
  $("name-cancel").hidden = !name;
  $("name-send").textContent = name ? "Change" : "Join";
}
function refuseName(error) {
  const refused = name;
  name = people.get(you) ?? "";
  introduced = Boolean(name);
  remember("name", name);
  askName(error);
  nameField.value = refused;
}
function writeMessages() {
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
function $(id, kind = HTMLElement) {
  const found = document.getElementById(id);
  if (found instanceof kind) return found;
  throw new TypeError(`the page has no ${kind.name} called ${id}`);
}
function within(outer, tag) {
  const found = outer.querySelector(tag);
  if (found) return found;
  throw new TypeError(`the page has no ${tag} in ${outer.id}`);
}
function element(tag, className = "", text = "") {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.textContent = text;
  return node;
}
function avatar(who) {
  const node = element("span", "avatar", [...who].slice(0, 1).join("").toLocaleUpperCase());
  const hue = [...who].reduce((sum, letter) => (sum * 31 + (letter.codePointAt(0) ?? 0)) % 360, 7);
  node.style.setProperty("--hue", `${hue}`);
  node.ariaHidden = "true";
  return node;
}
function day(at) {
  const days = Math.round(((/* @__PURE__ */ new Date()).setHours(0, 0, 0, 0) - new Date(at).setHours(0, 0, 0, 0)) / 864e5);
  return days === 0 ? "Today" : days === 1 ? "Yesterday" : date.format(at);
}
function hereUrl() {
  return `${location.origin}${location.pathname}?${new URLSearchParams({ room })}`;
}
function takeId() {
  try {
    const id = sessionStorage.getItem("id") ?? void 0;
    sessionStorage.removeItem("id");
    window.addEventListener("pagehide", () => sessionStorage.setItem("id", chat.socket.id));
    return id;
  } catch {
    return void 0;
  }
}
function recall(key, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(`chat-${key}`) ?? "null") ?? otherwise;
  } catch {
    return otherwise;
  }
}
function remember(key, value) {
  try {
    localStorage.setItem(`chat-${key}`, JSON.stringify(value));
  } catch {
  }
}
$("room").textContent = room;
textField.placeholder = `Write to #${room}`;
for (const link of document.querySelectorAll(".second-tab")) link.href = hereUrl();
if (name) writeMessages();
else askName();
if (matchMedia("(hover: hover)").matches) (name ? textField : nameField).focus();
showTitle();
showPeople();
countRooms();
setInterval(countRooms, 1e4);
