// The page of the collab example: it shows what the room says, and keeps nothing that the room knows.

import PartySocket from "./partysocket.js";

const $ = (id) => document.getElementById(id);

const room = new URLSearchParams(location.search).get("room") || "desk";
const users = new Map(); // by id, as the room tells them
const cursors = new Map(); // by id, the elements

const protocol = location.protocol === "https:" ? "wss" : "ws";
const socket = new PartySocket({ host: location.host, protocol, room: encodeURIComponent(room) });
globalThis.socket = socket; // for the console, and for tests

socket.addEventListener("open", () => {
  connection("live");
  join(); // the room may have forgotten us meanwhile
});
socket.addEventListener("close", () => connection("reconnecting"));
socket.addEventListener("message", ({ data }) => {
  const message = JSON.parse(data);
  switch (message.type) {
    case "state":
      users.clear();
      for (const user of message.users) users.set(user.id, user);
      return show();
    case "user-joined":
      users.set(message.user.id, message.user);
      return show();
    case "cursor":
      users.get(message.id).cursor = { x: message.x, y: message.y };
      return showCursor(users.get(message.id));
    case "user-left":
      users.delete(message.id);
      return show();
    case "error":
      $("notice").hidden = false;
      $("notice").textContent = `The room answered: ${message.error}`;
  }
});

function tell(message) {
  // What is said while there is no connection is not kept: a pointer that was there is no news later.
  if (socket.readyState === PartySocket.OPEN) socket.send(JSON.stringify(message));
}

function join() {
  tell({ type: "join", name: $("name").value.trim() || "Somebody" });
}

// A screen is drawn anew at most once a frame, so more positions than that are of no use to anybody.
let point = null;
for (const type of ["pointerdown", "pointermove"]) $("desk").addEventListener(type, pointed); // a finger that taps does not move
function pointed({ clientX, clientY }) {
  const { left, top, width, height } = $("desk").getBoundingClientRect();
  if (!point) requestAnimationFrame(() => (tell({ type: "cursor", ...point }), (point = null)));
  point = { x: (clientX - left) / width, y: (clientY - top) / height };
}

function show() {
  const mine = (user) => user.id === socket.id;
  const here = [...users.values()].sort((a, b) => mine(b) - mine(a) || a.name.localeCompare(b.name));
  $("people").replaceChildren(
    ...here.map((user) => {
      const entry = document.createElement("li");
      entry.textContent = mine(user) ? `${user.name} (you)` : user.name;
      entry.style.setProperty("--hue", hue(user.id));
      return entry;
    }),
  );
  for (const [id, cursor] of cursors) {
    if (users.has(id)) continue;
    cursor.remove();
    cursors.delete(id);
  }
  here.forEach(showCursor);
}

function showCursor(user) {
  if (!user.cursor || user.id === socket.id) return;
  let cursor = cursors.get(user.id);
  if (!cursor) {
    cursor = document.createElement("div");
    cursor.className = "cursor";
    cursor.append(document.createElement("span"));
    cursor.style.setProperty("--hue", hue(user.id));
    cursors.set(user.id, cursor);
    $("desk").append(cursor);
  }
  cursor.firstChild.textContent = user.name;
  cursor.style.left = `${100 * user.cursor.x}%`;
  cursor.style.top = `${100 * user.cursor.y}%`;
}

function connection(state) {
  $("connection").dataset.state = state;
  $("connection").textContent = { live: "Live", reconnecting: "Reconnecting" }[state];
}

/** The colour of a user, everywhere the same. */
function hue(id) {
  return [...id].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 7);
}

$("name-form").addEventListener("submit", (event) => event.preventDefault());
$("name").addEventListener("change", () => {
  localStorage.setItem("collab-name", $("name").value.trim());
  $("notice").hidden = true;
  join();
});

$("name").value = localStorage.getItem("collab-name") || `Guest ${Math.ceil(Math.random() * 99)}`;
$("room").textContent = room;
$("link").href = location.href;
document.title = `#${room} · partyrs collab`;
