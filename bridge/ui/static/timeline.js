// The time line of one stream: every event is drawn, the slider moves through versions or times, and the state beside
// it follows. Without this file the page still shows a state and has links to the versions around it.

const TOP = 14, AXIS = 20, GUTTER = 168, MOST_LANES = 8;
const PATIENCE = 120;      // ms after which a request that nobody waits for any more is given up
const LOOK = 2000;         // ms between looks for new events
const HOUR = 3600e3, DAY = 24 * HOUR;
const STEPS = [
  1, 5, 10, 50, 100, 500, 1e3, 5e3, 15e3, 30e3, 60e3, 300e3, 900e3, 1800e3, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR,
  DAY, 2 * DAY, 7 * DAY, 14 * DAY, 30 * DAY, 91 * DAY, 182 * DAY, 365 * DAY, 1826 * DAY,
];
const SPEEDS = {
  version: [[1, "1 a second"], [5, "5 a second"], [20, "20 a second"], [100, "100 a second"], [500, "500 a second"]],
  time: [[1e3, "as it happened"], [60e3, "1 min a second"], [HOUR, "1 h a second"], [DAY, "1 day a second"], [30 * DAY, "30 days a second"]],
};

const byId = id => document.getElementById(id);
const root = byId("time"), lanes = byId("lanes"), whole = byId("whole"), tip = lanes.querySelector("output");
const speed = byId("speed"), stepBox = byId("step"), marksBox = byId("marks"), go = root.querySelector("form.go");
const path = root.dataset.stream.split("/").map(encodeURIComponent).join("/");
const numeric = text => text === "" ? null : Number(text);

const view = {
  version: Number(root.dataset.version), head: Number(root.dataset.head), pinned: root.dataset.pinned,
  a: numeric(root.dataset.a), b: numeric(root.dataset.b), axis: root.dataset.axis || "version",
  from: 0, to: 1, playing: false, hover: null, lane: 18,
};
let events = { first: 0, names: [], types: [], effective: [], event: [] };

// Where things are: a version has a place on the axis, a place has a pixel.

const last = () => events.first + events.types.length - 1;
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const placeOf = version => view.axis === "version" ? version : events[view.axis][version - events.first];
const range = () => [placeOf(events.first), placeOf(last())];

function versionAt(place) {
  if (view.axis === "version") return clamp(Math.round(place), events.first, last());
  const times = events[view.axis];
  let low = 0, high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= place) low = middle + 1; else high = middle;
  }
  return clamp(events.first + low - 1, events.first, last());
}

const gutter = width => width > 720 ? GUTTER : 0;

function frame(canvas, height) {
  const box = canvas.parentElement.getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
  const [wide, high] = [Math.round(box.width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, box.width, height);
  return [pen, box.width];
}

const pixelOf = (place, width) => {
  const left = gutter(width) + 6, wide = width - left - 6;
  return left + (view.to === view.from ? wide / 2 : (place - view.from) / (view.to - view.from) * wide);
};
const placeAt = (pixel, width) => {
  const left = gutter(width) + 6;
  return view.from + (pixel - left) / (width - left - 6) * (view.to - view.from);
};

// Drawing

let colours, due = 0;

function readColours() {
  const style = getComputedStyle(document.documentElement);
  const named = name => style.getPropertyValue(name).trim();
  colours = { ink: named("--ink"), dim: named("--dim"), line: named("--line"), accent: named("--accent"), soft: named("--accent-soft"), paper: named("--surface") };
}

function draw() {
  if (!due && events.types.length) due = requestAnimationFrame(() => { due = 0; drawLanes(); drawWhole(); tell(); });
}

const laneOf = type => Math.min(type, MOST_LANES - 1);
const laneCount = () => Math.min(Math.max(events.names.length, 1), MOST_LANES);

function drawLanes() {
  view.lane = parseInt(getComputedStyle(lanes).getPropertyValue("--lane"));
  const height = TOP + laneCount() * view.lane + AXIS;
  const [pen, width] = frame(lanes.querySelector("canvas"), height);
  pen.font = "11px 'Plex Mono', monospace";
  pen.textBaseline = "middle";
  drawBetween(pen, width, height);
  drawAxis(pen, width, height);
  drawEvents(pen, width);
  drawLabels(pen, width);
  if (view.hover !== null) drawLine(pen, pixelOf(placeOf(view.hover), width), height, colours.dim, 1);
  for (const name of ["a", "b"]) if (view[name] !== null) drawFlag(pen, width, height, name);
  drawHead(pen, width, height);
}

function drawEvents(pen, width) {
  const begin = versionAt(view.from) - events.first, end = versionAt(view.to) - events.first;
  const room = (width - gutter(width)) / (end - begin + 1);
  pen.fillStyle = colours.ink;
  if (room < 3) return drawCounts(pen, width, begin, end);
  pen.globalAlpha = 0.75;
  for (let at = begin; at <= end; at++) drawTick(pen, pixelOf(placeOf(events.first + at), width), laneOf(events.types[at]), Math.min(room / 2, 3));
  pen.globalAlpha = 1;
}

function drawTick(pen, x, lane, wide) {
  pen.fillRect(x - wide / 2, TOP + (lane + 1) * view.lane - 15, wide, 12);
}

function drawCounts(pen, width, begin, end) {
  // Where events are closer than pixels, how many of a lane fall on one is told by its shade.
  const cells = Math.ceil(width), found = new Uint32Array(laneCount() * cells);
  for (let at = begin; at <= end; at++) {
    const pixel = Math.floor(pixelOf(placeOf(events.first + at), width));
    if (pixel >= gutter(width) && pixel < cells) found[laneOf(events.types[at]) * cells + pixel]++;
  }
  const most = found.reduce((a, b) => Math.max(a, b), 1);
  found.forEach((count, cell) => {
    if (!count) return;
    pen.globalAlpha = most === 1 ? 0.75 : 0.3 + 0.6 * Math.log(count + 1) / Math.log(most + 1);
    drawTick(pen, cell % cells + 0.5, Math.floor(cell / cells), 1);
  });
  pen.globalAlpha = 1;
}

function drawLabels(pen, width) {
  const left = gutter(width);
  events.names.slice(0, MOST_LANES).forEach((name, lane) => {
    const y = TOP + lane * view.lane + (left ? view.lane / 2 : 8);
    const text = lane === MOST_LANES - 1 && events.names.length > MOST_LANES ? "other types" : name;
    pen.fillStyle = laneOf(events.types[view.version - events.first]) === lane ? colours.accent : colours.dim;
    pen.fillText(text.length > 23 ? `${text.slice(0, 22)}…` : text, left ? 2 : 6, y);
    pen.fillStyle = colours.line;
    pen.fillRect(left, TOP + (lane + 1) * view.lane - 0.5, width - left, 1);
  });
}

function drawLine(pen, x, height, colour, wide) {
  pen.fillStyle = colour;
  pen.fillRect(x - wide / 2, TOP - 4, wide, height - AXIS - TOP + 6);
}

function drawHead(pen, width, height) {
  const x = pixelOf(placeOf(view.version), width);
  if (x < gutter(width) || x > width) return;
  drawLine(pen, x, height, colours.accent, 2);
  pen.beginPath();
  pen.moveTo(x - 6, 1); pen.lineTo(x + 6, 1); pen.lineTo(x + 6, 7); pen.lineTo(x, 13); pen.lineTo(x - 6, 7);
  pen.fill();
}

function drawFlag(pen, width, height, name) {
  const x = pixelOf(placeOf(view[name]), width);
  if (x < gutter(width) || x > width) return;
  // The lower mark's flag hangs before its line, the other behind it: they never cover each other.
  const other = view[name === "a" ? "b" : "a"], before = other !== null && view[name] < other;
  const left = clamp(before ? x - 14 : x, gutter(width), width - 14);
  drawLine(pen, x, height, colours.ink, 1);
  pen.fillRect(left, 0, 14, 13);
  pen.fillStyle = colours.paper;
  pen.fillText(name.toUpperCase(), left + 4, 7);
}

function drawBetween(pen, width, height) {
  if (view.a === null || view.b === null) return;
  const [x, end] = [view.a, view.b].map(version => clamp(pixelOf(placeOf(version), width), gutter(width), width)).sort((a, b) => a - b);
  pen.fillStyle = colours.soft;
  pen.fillRect(x, TOP - 2, end - x, height - AXIS - TOP + 2);
}

function drawAxis(pen, width, height) {
  const left = gutter(width), most = Math.max(2, Math.floor((width - left) / 110)), span = view.to - view.from;
  const step = stepFor(span / most);
  if (!(span > 0)) return;
  pen.textAlign = "center";
  for (let place = Math.ceil(view.from / step) * step; place <= view.to; place += step) {
    const x = pixelOf(place, width), text = label(place, step), half = pen.measureText(text).width / 2;
    pen.fillStyle = colours.line;
    pen.fillRect(x - 0.5, TOP, 1, height - TOP - AXIS + 4);
    pen.fillStyle = colours.dim;
    if (x - half > left && x + half < width) pen.fillText(text, x, height - AXIS / 2 + 2);
  }
  pen.textAlign = "left";
}

function stepFor(least) {
  if (view.axis !== "version") return STEPS.find(step => step >= least) || STEPS.at(-1) * Math.ceil(least / STEPS.at(-1));
  const scale = 10 ** Math.floor(Math.log10(Math.max(least, 1)));
  return [1, 2, 5, 10].map(each => each * scale).find(step => step >= least) || 1;
}

function label(place, step) {
  if (view.axis === "version") return place.toLocaleString("en");
  const text = new Date(place).toISOString();
  if (step >= 365 * DAY) return text.slice(0, 7);
  if (step >= DAY) return text.slice(0, 10);
  return step >= 60e3 ? text.slice(5, 16).replace("T", " ") : step >= 1e3 ? text.slice(11, 19) : text.slice(11, 23);
}

function density(start, scale, wide) {
  const found = new Uint32Array(Math.ceil(wide) + 1);
  for (let at = 0; at < events.types.length; at++) found[Math.floor((placeOf(events.first + at) - start) * scale)]++;
  return found;
}

function drawRate(pen, left, height, found) {
  const most = found.reduce((a, b) => Math.max(a, b), 1);
  found.forEach((count, pixel) => {
    const high = count ? 3 + 15 * Math.log(count + 1) / Math.log(most + 1) : 0;
    pen.fillRect(left + pixel, height - 3 - high, 1, high);
  });
}

function drawWhole() {
  // The stream as a whole, with the part that the lanes show.
  const height = 26, [pen, width] = frame(whole.querySelector("canvas"), height), left = gutter(width);
  const [start, end] = range(), wide = width - left - 12, scale = end > start ? wide / (end - start) : 0;
  pen.fillStyle = view.axis === "version" ? colours.line : colours.dim;
  if (view.axis === "version") pen.fillRect(left + 6, height / 2 - 1, wide, 2);
  else drawRate(pen, left + 6, height, density(start, scale, wide));
  const [x, stop] = [view.from, view.to].map(place => left + 6 + clamp((place - start) * scale, 0, wide));
  pen.fillStyle = colours.accent;
  if (view.from > start || view.to < end) {
    pen.globalAlpha = 0.16;
    pen.fillRect(x, 1, Math.max(stop - x, 4), height - 2);
    pen.globalAlpha = 1;
    pen.fillRect(x, 1, 2, height - 2);
    pen.fillRect(Math.max(stop, x + 4) - 2, 1, 2, height - 2);
  }
  pen.fillRect(left + 6 + (placeOf(view.version) - start) * scale - 0.5, 1, 1, height - 2);
}

function tell() {
  // What a screen reader and the buttons know.
  const at = view.version - events.first;
  lanes.setAttribute("aria-valuenow", view.version);
  lanes.setAttribute("aria-valuemax", view.head - 1);
  lanes.setAttribute("aria-valuetext", `version ${view.version} of ${view.head - 1}, ${events.names[events.types[at]]}, ${time(at)}`);
  byId("count").textContent = `${view.head.toLocaleString("en")} event${view.head === 1 ? "" : "s"}`;
  for (const each of root.querySelectorAll("[data-axis]")) if (each !== root) each.setAttribute("aria-pressed", each.dataset.axis === view.axis);
  for (const each of root.querySelectorAll("[data-mark]")) {
    const name = each.dataset.mark, set = view[name] ?? null;
    if (name === "none") each.hidden = view.a === null && view.b === null;
    else each.textContent = set === null ? `Mark ${name.toUpperCase()}` : `${name.toUpperCase()} ${set.toLocaleString("en")}`;
  }
  const play = root.querySelector("[data-go=play]");
  play.setAttribute("aria-pressed", view.playing);
  play.setAttribute("aria-label", view.playing ? "Pause" : "Play");
}

const time = at => new Date(events[view.axis === "event" ? "event" : "effective"][at]).toISOString().replace("T", " ").slice(0, 23);

// Moving

async function move(version, steady = true) {
  version = clamp(version, 0, view.head - 1);
  if (steady) view.playing = false;
  if (version < events.first || version > last()) await load(version);
  view.version = version;
  reveal(placeOf(version));
  draw();
  follow();
  remember();
}

function reveal(place) {
  const span = view.to - view.from;
  if (place < view.from) scroll(place - view.from - span * 0.1);
  if (place > view.to) scroll(place - view.to + span * 0.1);
}

function scroll(by) {
  const [start, end] = range(), span = view.to - view.from;
  view.from = clamp(view.from + by, start, Math.max(start, end - span));
  view.to = view.from + span;
}

function zoom(factor, around = placeOf(view.version)) {
  const [start, end] = range(), span = clamp((view.to - view.from) * factor, Math.min(10, end - start), end - start);
  const share = view.to > view.from ? (around - view.from) / (view.to - view.from) : 0.5;
  view.from = clamp(around - span * share, start, Math.max(start, end - span));
  view.to = view.from + span;
  draw();
}

function showAll() {
  [view.from, view.to] = range();
  draw();
}

function stepBy(count) {
  // On an axis of time, a step leads to the next moment at which something happened.
  if (view.axis === "version" || Math.abs(count) > 1) return move(view.version + count);
  const times = events[view.axis], here = times[view.version - events.first];
  let at = view.version - events.first + count;
  while (times[at] === here) at += count;
  return move(events.first + clamp(at, 0, times.length - 1));
}

function setAxis(axis) {
  view.axis = axis;
  go.elements.to.placeholder = `version, ${axis === "event" ? "event" : "log"} time or name:value`;
  const kind = axis === "version" ? "version" : "time", [start, end] = range();
  const fit = SPEEDS[kind].findIndex(([each]) => (end - start) / each < 40);
  speed.replaceChildren(...SPEEDS[kind].map(([value, text]) => new Option(text, value)));
  speed.selectedIndex = fit < 0 ? SPEEDS[kind].length - 1 : fit;
  showAll();
  remember();
}

function setMark(name) {
  if (name === "none") view.a = view.b = null;
  else view[name] = view[name] === view.version ? null : view.version;
  draw();
  remember();
  showMarks();
}

function play() {
  view.playing = !view.playing;
  if (view.playing && view.version === last()) view.version = events.first;
  let place = placeOf(view.version), before = performance.now();
  const tick = now => {
    if (!view.playing) return draw();
    place += (now - before) / 1000 * Number(speed.value);
    before = now;
    const version = view.axis === "version" ? clamp(Math.floor(place), events.first, last()) : versionAt(place);
    if (version !== view.version) move(version, false);
    if (version === last()) view.playing = false;
    requestAnimationFrame(tick);
  };
  draw();
  requestAnimationFrame(tick);
}

// The state beside it: one request at a time, always for what is wanted last.

let busy = null;
const query = () => new URLSearchParams({ version: view.version, ...(view.pinned ? { file: view.pinned } : {}) }).toString();
let shown = query();

async function follow() {
  if (busy) {
    if (performance.now() - busy.began > PATIENCE) busy.abort();
    return;
  }
  while (query() !== shown) {
    const wanted = query();
    busy = Object.assign(new AbortController(), { began: performance.now() });
    try {
      await fill(stepBox, `/ui/step/${path}?${wanted}`, busy.signal);
      shown = wanted;
    } catch (error) {
      if (error.name !== "AbortError") {
        stepBox.firstElementChild?.classList.add("stale");
        shown = wanted;
      }
    }
  }
  busy = null;
}

async function fill(box, url, signal) {
  const answer = await fetch(url, { signal, headers: { "HX-Request": "true", Accept: "text/html" } });
  const text = await answer.text();
  const before = [...box.querySelectorAll(".pane, .code")].map(each => [each.className, each.scrollTop]);
  box.innerHTML = text;
  for (const [name, top] of before) if (top) for (const each of box.getElementsByClassName(name)) each.scrollTop = top;
  window.htmx?.process(box);
}

const showMarks = () => fill(marksBox, `/ui/marks/${path}?${address(false)}`);

// The address, so that a view can be shared.

let later = 0;

function address(version = true) {
  const known = { axis: view.axis === "version" ? null : view.axis, a: view.a, b: view.b, file: view.pinned || null };
  if (version && view.version !== view.head - 1) known.version = view.version;
  return new URLSearchParams(Object.entries(known).filter(([, value]) => value !== null)).toString();
}

function remember() {
  const here = { axis: view.axis, version: view.version, a: view.a, b: view.b, file: view.pinned };
  for (const [name, value] of Object.entries(here)) go.elements[name].value = value ?? "";
  clearTimeout(later);
  later = setTimeout(() => history.replaceState(null, "", `/streams/${path}${address() && `?${address()}`}`), 200);
}

// What is there, and what comes

async function load(version = view.version, start = 0) {
  const answer = await fetch(`/ui/outline/${path}?${new URLSearchParams({ version, ...(start ? { start } : {}) })}`);
  if (!answer.ok) return;
  const found = await answer.json();
  const names = found.names, add = steps => { let sum = 0; return steps.map(step => sum += step); };
  const more = { first: found.first, names, types: found.types, effective: add(found.effective), event: add(found.event) };
  view.head = found.head;
  if (!start) events = more;
  else if (more.first === last() + 1) {
    for (const key of ["types", "effective", "event"]) events[key].push(...more[key]);
    events.names = names;
  }
  lanes.dataset.lanes = laneCount();
}

async function look() {
  if (document.visibilityState !== "visible" || last() !== view.head - 1) return;
  const [, end] = range(), atEnd = view.version === last(), all = view.to >= end, before = last();
  await load(view.version, before + 1);
  if (last() === before) return;
  if (all) view.to = range()[1];
  if (atEnd && !view.playing) move(last(), false); else draw();
}

// Hands

function pointer(box, moved) {
  box.addEventListener("pointerdown", event => {
    if (event.button) return;
    event.preventDefault();
    box.setPointerCapture(event.pointerId);
    lanes.focus({ preventScroll: true });
    moved(event, true);
  });
  box.addEventListener("pointermove", event => box.hasPointerCapture(event.pointerId) ? moved(event, false) : hover(box, event));
  box.addEventListener("pointerleave", () => { view.hover = null; tip.hidden = true; draw(); });
}

function hover(box, event) {
  if (box !== lanes) return;
  const left = lanes.getBoundingClientRect().left, width = lanes.clientWidth, x = event.clientX - left;
  view.hover = x > gutter(width) ? versionAt(placeAt(x, width)) : null;
  tip.hidden = view.hover === null;
  if (view.hover !== null) {
    const at = view.hover - events.first;
    tip.textContent = `${view.hover.toLocaleString("en")}  ${events.names[events.types[at]]}  ${time(at)}`;
    tip.style.transform = `translateX(${clamp(x - tip.offsetWidth / 2, 0, width - tip.offsetWidth)}px)`;
  }
  draw();
}

pointer(lanes, event => {
  tip.hidden = true;
  view.hover = null;
  const version = versionAt(placeAt(event.clientX - lanes.getBoundingClientRect().left, lanes.clientWidth));
  if (version !== view.version || view.playing) move(version);
});

pointer(whole, event => {
  const box = whole.getBoundingClientRect(), left = gutter(box.width) + 6, [start, end] = range();
  const place = start + (event.clientX - box.left - left) / (box.width - left - 6) * (end - start);
  if (view.to - view.from >= end - start) move(versionAt(place));
  else { scroll(place - (view.from + view.to) / 2); draw(); }
});

lanes.addEventListener("wheel", event => {
  const width = lanes.clientWidth, sideways = event.shiftKey ? event.deltaY : event.deltaX;
  if (event.ctrlKey || event.metaKey) zoom(Math.exp(event.deltaY / 300), placeAt(event.clientX - lanes.getBoundingClientRect().left, width));
  else if (Math.abs(sideways) > Math.abs(event.shiftKey ? 0 : event.deltaY)) { scroll(sideways / width * (view.to - view.from)); draw(); }
  else return;
  event.preventDefault();
}, { passive: false });
lanes.addEventListener("dblclick", () => zoom(0.2));

const page = () => Math.max(1, Math.round(events.types.length / 20));
const KEYS = {
  ArrowLeft: event => stepBy(event.shiftKey ? -10 : -1), ArrowRight: event => stepBy(event.shiftKey ? 10 : 1),
  ArrowDown: () => stepBy(-1), ArrowUp: () => stepBy(1),
  PageDown: () => move(view.version - page()), PageUp: () => move(view.version + page()),
  Home: () => move(0), End: () => move(view.head - 1), " ": play,
  "[": () => setMark("a"), "]": () => setMark("b"), Escape: () => setMark("none"),
  "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), 0: showAll,
};
const EVERYWHERE = new Set(["ArrowLeft", "ArrowRight", " ", "[", "]", "Escape"]);

function isOurs(event) {
  // The slider takes every key, a button beside it all but its own, and the page the few that it has no use for.
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  if (event.target === lanes) return true;
  if (event.target.matches("#time button, #time a")) return event.key !== " ";
  return (event.target === document.body || event.target.id === "main") && EVERYWHERE.has(event.key);
}

document.addEventListener("keydown", event => {
  const key = KEYS[event.key];
  if (!key || !isOurs(event)) return;
  event.preventDefault();
  key(event);
});

const GO = { first: () => move(0), back: () => stepBy(-1), play, on: () => stepBy(1), last: () => move(view.head - 1) };

root.addEventListener("click", event => {
  const found = event.target.closest("[data-go], [data-mark], button[data-axis]");
  if (!found || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  if (found.dataset.go) GO[found.dataset.go]();
  else if (found.dataset.mark) setMark(found.dataset.mark);
  else setAxis(found.dataset.axis);
});

for (const box of [stepBox, marksBox]) box.addEventListener("click", event => {
  const link = event.target.closest("a[data-file], a[data-version]");
  if (!link || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  if (link.dataset.version) return move(Number(link.dataset.version));
  view.pinned = view.pinned === link.dataset.file ? "" : link.dataset.file;
  remember();
  follow();
  if (view.a !== null && view.b !== null) showMarks();
});

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); draw(); });

readColours();
await load();
new ResizeObserver(draw).observe(lanes);
document.fonts.ready.then(draw);
setAxis(["version", "effective", "event"].includes(view.axis) ? view.axis : "version");
root.classList.add("ready");
requestAnimationFrame(() => performance.mark("timeline"));
setInterval(look, LOOK);
