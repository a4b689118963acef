// The plots of the projections: lag behind the log and throughput over the last quarter of an hour.

const EVERY = 1000, KEPT = 900, LEAST = 120, HEIGHT = 118;
let at = [], known = {}, plots = [];

const style = () => getComputedStyle(document.documentElement);
const colour = name => style().getPropertyValue(name).trim();
const short = value => value >= 1e6 ? `${value / 1e6}M` : value >= 1e3 ? `${value / 1e3}k` : `${value}`;

async function look() {
  if (document.visibilityState !== "visible") return;
  const answer = await fetch(`/ui/course?after=${at.at(-1) ?? 0}`);
  if (!answer.ok) return;
  const more = await answer.json(), nothing = more.at.map(() => null);
  for (const name of new Set([...Object.keys(known), ...Object.keys(more.projections)])) {
    const series = known[name] ??= { records: at.map(() => null), seconds: at.map(() => null), seen: at.map(() => null) };
    for (const key of Object.keys(series)) series[key] = [...series[key], ...(more.projections[name]?.[key] ?? nothing)].slice(-KEPT);
  }
  at = [...at, ...more.at].slice(-KEPT);
  draw();
}

const rate = seen => seen.map((value, place) => {
  const before = seen[place - 1] ?? null, took = at[place] - at[place - 1];
  return value === null || before === null ? null : Math.max(0, (value - before) / took);
});

function draw() {
  // The page renews itself, so a plot may have lost its place, and a projection may be new.
  plots = plots.filter(each => each.place.isConnected || each.plot.destroy());
  for (const box of document.querySelectorAll(".plots")) {
    const series = known[box.dataset.projection];
    if (!series) continue;
    show(box.querySelector("[data-plot=lag]"), [at, series.records, series.seconds], LAG);
    show(box.querySelector("[data-plot=rate]"), [at, rate(series.seen)], RATE);
  }
}

function show(place, data, make) {
  const found = plots.find(each => each.place === place);
  if (found) return found.plot.setData(data);
  plots.push({ place, plot: new uPlot(options(place, make()), data, place) });
}

const axis = (side, scale) => ({
  side, scale, stroke: colour("--dim"), font: "11px 'Plex Mono', monospace", size: 44, ticks: { show: false }, space: 28,
  grid: { stroke: colour("--line"), width: 1, show: side !== 1 }, values: (_, values) => values.map(short),
});
const line = (scale, name, spanGaps = false) => ({ scale, spanGaps, stroke: colour(name), width: 1.5, points: { show: false } });
const upTo = (_, low, high) => [0, Math.max(1, high ?? 1) * 1.1];
const LAG = () => ({
  series: [{}, line("records", "--ink"), line("seconds", "--accent")],
  scales: { records: { range: upTo }, seconds: { range: upTo } }, axes: [axis(3, "records"), axis(1, "seconds")],
});
const RATE = () => ({ series: [{}, line("rate", "--ink")], scales: { rate: { range: upTo } }, axes: [axis(3, "rate")] });

const clock = { size: 24, space: 90, ticks: { show: false }, values: (_, times) => times.map(time => new Date(time * 1000).toISOString().slice(11, 19)) };
const lately = (_, low, high) => [Math.min(low, high - LEAST), high];

function options(place, { series, scales, axes }) {
  const time = { ...clock, stroke: colour("--dim"), font: "11px 'Plex Mono', monospace", grid: { show: false } };
  return { width: place.clientWidth, height: HEIGHT, legend: { show: false }, cursor: { show: false }, series, scales: { x: { range: lately }, ...scales }, axes: [time, ...axes] };
}

function anew() {
  for (const each of plots) each.plot.destroy();
  plots = [];
  draw();
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", anew);
let resizing = 0;
addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(anew, 150); });
await look();
setInterval(look, EVERY);
