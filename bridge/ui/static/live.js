// The live tail: events as they are admitted, by WS /v1/live; the newest first, the last few hundred kept.

const byId = id => document.getElementById(id);
const tail = byId("tail"), form = byId("filters"), template = byId("row"), pause = byId("pause");
const ROWS = Number(tail.dataset.rows), FIRST_WAIT = 250, LONGEST_WAIT = 10000, SILENCE = 45000;

let socket = null, cursor = "", wait = FIRST_WAIT, again = 0, silent = 0, count = 0, paused = false, waiting = [];

const filters = () => Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, value.trim()]).filter(([, value]) => value));

function asked() {
  // A time is typed in UTC; with a cursor the feed goes on where it was, and begins nowhere else.
  const { from, speed, ...found } = filters();
  if (!from) return { ...found, ...(cursor ? { cursor } : {}) };
  return { ...found, speed, ...(cursor ? { cursor } : { from: `${from}${from.length === 16 ? ":00" : ""}Z` }) };
}

function connect() {
  clearTimeout(again);
  const query = new URLSearchParams(asked());
  const here = socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1/live?${query}`);
  tell("wait", "connecting");
  here.onopen = () => { tell(paused ? "held" : "on"); if (paused) send({ do: "pause" }); alive(); };
  here.onmessage = message => { if (here === socket) { alive(); heard(JSON.parse(message.data)); } };
  here.onclose = () => { if (here === socket) retry(); };
}

function retry() {
  clearTimeout(silent);
  tell("off", `not connected; trying again in ${Math.ceil(wait / 1000)} s`);
  again = setTimeout(connect, wait * (0.75 + Math.random() / 2));
  wait = Math.min(wait * 2, LONGEST_WAIT);
}

function alive() {
  // A connection that does not even beat is dead, whatever the network says.
  clearTimeout(silent);
  silent = setTimeout(() => socket.close(), SILENCE);
}

function start() {
  // Other filters are another feed, which has no use for the cursor of the one before.
  const old = socket;
  socket = null;
  old?.close();
  cursor = "";
  wait = FIRST_WAIT;
  clear();
  connect();
}

const send = what => socket?.readyState === WebSocket.OPEN && socket.send(JSON.stringify(what));

const HEARD = {
  event: message => {
    wait = FIRST_WAIT;
    cursor = message.cursor;
    waiting.push(message.event);
    if (waiting.length === 1) requestAnimationFrame(show);
    if (waiting.length > ROWS) waiting.shift();
  },
  heartbeat: message => { wait = FIRST_WAIT; if (message.cursor) cursor = message.cursor; },
  paused: () => tell("held"),
  resumed: () => tell("on"),
  slow: message => notice(message.detail || "This page was too slow for the feed, and was disconnected."),
  problem: message => { if (message.cursor) cursor = message.cursor; notice(message.detail || message.title); },
};

const heard = message => HEARD[message.kind]?.(message);

function show() {
  const events = waiting.splice(0);
  count += events.length;
  tail.prepend(...events.reverse().slice(0, ROWS).map(row));
  while (tail.children.length > ROWS) tail.lastElementChild.remove();
  byId("rate").textContent = `${count.toLocaleString("en")} event${count === 1 ? "" : "s"}`;
  byId("none").hidden = true;
}

function row(event) {
  const item = template.content.cloneNode(true).firstElementChild, find = name => item.querySelector(name);
  const time = find("time"), link = document.createElement("a");
  time.dateTime = event.effective_time;
  time.textContent = event.effective_time.slice(11, 23);
  find(".type").textContent = event.type ?? "cannot be read";
  link.textContent = `${event.stream} @${event.version.toLocaleString("en")}`;
  link.href = `/streams/${event.stream.split("/").map(encodeURIComponent).join("/")}?version=${event.version}`;
  find(".where").append(link);
  find(".actor").textContent = event.actor;
  find("details").addEventListener("toggle", () => open(item, event), { once: true });
  return item;
}

function open(item, event) {
  const { data, type, stream, metadata, ...facts } = event;
  item.querySelector("pre").textContent = event.error ?? JSON.stringify(data, null, 2);
  item.querySelector("dl").append(...Object.entries({ ...facts, ...metadata }).flatMap(([name, value]) => {
    const [term, about] = [document.createElement("dt"), document.createElement("dd")];
    [term.textContent, about.textContent] = [name.replaceAll("_", " "), value === "" || value === null ? "–" : String(value)];
    return [term, about];
  }));
}

const WORDS = { on: "live", held: "paused" };

function tell(state, words = WORDS[state]) {
  byId("light").dataset.state = state;
  byId("state").textContent = words;
}

function notice(text) {
  const line = document.createElement("p");
  line.className = "notice bad";
  line.role = "alert";
  line.textContent = text;
  byId("trouble").replaceChildren(line);
}

function clear() {
  waiting.length = count = 0;
  tail.replaceChildren();
  byId("trouble").replaceChildren();
  byId("rate").textContent = "0 events";
  byId("none").hidden = false;
}

function hold() {
  paused = !paused;
  pause.setAttribute("aria-pressed", paused);
  pause.textContent = paused ? "Resume" : "Pause";
  send({ do: paused ? "pause" : "resume" });
}

let typing = 0;

form.addEventListener("input", event => {
  clearTimeout(typing);
  typing = setTimeout(() => {
    history.replaceState(null, "", `/events?${new URLSearchParams(filters())}`);
    start();
  }, event.target.tagName === "SELECT" ? 0 : 400);
});
form.addEventListener("submit", event => event.preventDefault());
pause.addEventListener("click", hold);
byId("clear").addEventListener("click", clear);

connect();
