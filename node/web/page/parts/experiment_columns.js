// The columns of the table of experiments: which exist, which are shown, and how each fills its cells
// and an exported file. A name in capitals is a hyperparameter.

import { element, plain, quoted } from "../dom.js";
import * as figures from "../figures.js";
import { badge } from "../words.js";

const REMEMBERED = "arnode.columns";
const MOST_BY_DEFAULT = 3; // hyperparameters, the most often changed ones
const FILLED = 0.3; // a hyperparameter is shown by default if this share of the experiments changed it
const DEFAULT = ["decision", "metric", "gain", "origin", "took", "ts", "tags"];
const WIDE = { value: 7, text: 9 }; // rem

// `width` is in rem. `value` is what an exported file has.
const COLUMNS = {
  decision: { name: "decision", part: "decision", width: 7, sort: "decision", fill: ({ decision, why }) => badge(decision, why), value: ({ decision }) => decision },
  metric: { name: "metric", part: "figure metric", width: 6.5, sort: "metric", fill: ({ metric }, sd) => figures.metric(metric, sd), value: ({ metric }) => metric },
  gain: { name: "gain", part: "figure gain", width: 10, sort: "gain", fill: ({ gain }, sd) => figures.gain(gain, sd), value: ({ gain }) => gain },
  stage: { name: "stage", part: "stage", width: 5.5, sort: "stage", fill: ({ stage }) => plain(stage), value: ({ stage }) => stage },
  origin: { name: "proposer", part: "origin", width: 6, sort: "origin", fill: ({ origin }) => quoted(origin), value: ({ origin }) => origin },
  ts: { name: "time", part: "time", width: 7.5, sort: "ts", fill: ({ ts }) => figures.ago(ts), value: ({ ts }) => new Date(ts).toISOString() },
  took: { name: "took", part: "figure took", width: 6, fill: ({ ms }) => figures.span(ms / 1000), value: ({ ms }) => ms / 1000 },
  memory: { name: "memory", part: "figure memory", width: 6, sort: "memory", fill: ({ peak_mem: bytes }) => figures.size(bytes), value: ({ peak_mem: bytes }) => bytes },
  tags: { name: "tags", part: "tags", width: 7, fill: ({ tags }) => tags.filter((one) => one !== "star").map((one) => element("span", { class: "chip" }, plain(one))), value: ({ tags }) => tags.join(" ") },
  why: { name: "reason", part: "why", width: 24, fill: ({ why }) => quoted(why), value: ({ why }) => why },
  id: { name: "id", part: "id", width: 6, fill: ({ id }) => element("code", {}, figures.short(id)), value: ({ id }) => id },
};

export const isHyperparameter = (name) => /^[A-Z][A-Z0-9_]{0,63}$/.test(name);
export const NAMES = Object.keys(COLUMNS);

const changeOf = ({ changes }, name) => (Object.hasOwn(changes, name) ? changes[name] : null);

function hyperparameterColumn(name) {
  return {
    name,
    part: "figure value",
    width: Math.min(14, Math.max(WIDE.text, 3 + 0.55 * name.length)),
    sort: name,
    fill: (item) => changeView(changeOf(item, name)),
    value: (item) => changeOf(item, name)?.[1] ?? null,
  };
}

// Returns a change as `0.1 → 0.2`, or null without one.
export function changeView(change) {
  if (change === null) return null;
  const [before, after] = change.map((one) => plain(one));
  return element("bdi", { class: "change", title: `${before} → ${after}` }, element("span", { class: "soft" }, `${before} → `), after);
}

// Returns a column by its name; null if there is none.
export function columnOf(name) {
  if (Object.hasOwn(COLUMNS, name)) return COLUMNS[name];
  return isHyperparameter(name) ? hyperparameterColumn(name) : null;
}

// Returns the names of the columns to show: those in the address, else those chosen last for this
// task, else the default. `hyperparameters` are {value, count} of `total` experiments, the most frequent first.
export function shownColumns(text, task, { total, hyperparameters }) {
  const named = text || localStorage.getItem(`${REMEMBERED}.${task}`);
  if (named === null || named === undefined || named === "") {
    const filled = hyperparameters.filter(({ count }) => count >= FILLED * total).slice(0, MOST_BY_DEFAULT);
    return [...DEFAULT.slice(0, 3), ...filled.map(({ value }) => value), ...DEFAULT.slice(3)];
  }
  return [...new Set(named.split(","))].filter((name) => columnOf(name) !== null);
}

export function rememberColumns(names, task) {
  localStorage.setItem(`${REMEMBERED}.${task}`, names.join(","));
}

export function forgetColumns(task) {
  localStorage.removeItem(`${REMEMBERED}.${task}`);
}

// Returns an experiment's title. One that only lists its changed constants is set as changes, uncut.
export function titleView({ title, changes }) {
  const entries = Object.entries(changes);
  const parts = entries.map(([name, [before, after]]) => `${name} ${before} → ${after}`);
  const named = title.split(", ");
  const isCut = title.endsWith("…");
  const isList = entries.length > 0 && (isCut || named.length === parts.length) && named.slice(0, isCut ? -1 : undefined).every((one) => parts.includes(one));
  if (!isList) return quoted(title);
  return entries.map(([name, change], at) => [at > 0 ? ", " : null, plain(name), " ", changeView(change)]);
}

// Returns the fixed first columns: selection, star, number and title.
export function firstColumns({ box, star }) {
  return [
    { name: "", spoken: "select", part: "chosen", width: 1.6, fill: box },
    { name: "", spoken: "star", part: "star-cell", width: 1.8, fill: star },
    { name: "#", part: "figure number", width: 3.2, fill: ({ number }) => number.toLocaleString() },
    { name: "title", part: "title", sort: "title", width: 18, fill: (item) => element("a", { href: `#/experiments/${item.id}`, title: plain(item.title) }, titleView(item)) },
  ];
}

// Returns one column in place of all others, for phones: two lines under the title.
export function briefColumn(names, sd) {
  return { name: "", spoken: "summary", part: "brief", width: 14, fill: (item) => briefOf(item, names, sd) };
}

function briefOf(item, names, sd) {
  const { number, decision, metric, gain } = item;
  const facts = names
    .filter((name) => !["decision", "metric", "gain"].includes(name))
    .map((name) => [name, columnOf(name).fill(item, sd)])
    .filter(([, shown]) => shown !== null && shown.length !== 0)
    .map(([name, shown]) => element("span", {}, isHyperparameter(name) ? [quoted(name), " "] : null, shown));
  return [
    element("span", { class: "main" }, badge(decision), " ", figures.metric(metric, sd), figures.isKnown(gain) ? [" · ", figures.gain(gain, sd)] : null),
    element("span", { class: "more" }, element("span", {}, `#${number.toLocaleString()}`), facts),
  ];
}
