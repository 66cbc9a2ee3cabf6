// The table of experiments with their values of hyperparameters, next to plots of them.

import { element, link, plain, quoted } from "../dom.js";
import * as figures from "../figures.js";
import { RowList } from "../rows.js";
import { Listed } from "../sources.js";
import { badge } from "../words.js";

const TITLE_REM = 14;
const VALUE_REM = 8;

// Returns experiments as rows, from the columns of the document.
export function rowsOf({ experiments, values, metric }, sd) {
  const { id, title, ts, decision, metric: scores } = experiments;
  const names = Object.keys(values);
  return id.map((one, at) => ({ id: one, title: title[at], ts: ts[at], decision: decision[at], metric: scores[at], unit: metric.unit, sd, values: new Map(names.map((name) => [name, values[name][at]])) }));
}

export const valueWords = (value) => (value === null || value === undefined ? "–" : typeof value === "number" ? figures.rounded(value) : plain(value));

// Returns a list of any number of rows. `names` are the hyperparameters to show.
export function valueTable({ caption, rows, names, metric, signal }) {
  const columns = [
    { name: "title", part: "title", fill: ({ id, title }) => link(`experiments/${id}`, quoted(title)) },
    { name: "decision", part: "decision", fill: ({ decision }) => badge(decision) },
    { name: plain(metric.name || metric.unit), part: "figure", fill: ({ metric: score, sd }) => figures.metric(score, sd) },
    ...names.map((name) => ({ name, part: "figure", fill: ({ values }) => element("bdi", { title: plain(values.get(name) ?? "") }, valueWords(values.get(name))) })),
  ];
  const list = new RowList({ caption, kind: "value-table", columns, source: new Listed(rows), empty: "No experiment is left.", signal });
  list.place.style.setProperty("--columns", `minmax(${TITLE_REM}rem, 1fr) 8rem 6.5rem ${names.map(() => `${VALUE_REM}rem`).join(" ")}`);
  list.place.style.setProperty("--wide", `${TITLE_REM + 16 + names.length * (VALUE_REM + 1)}rem`);
  return list.place;
}
