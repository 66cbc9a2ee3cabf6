// Insights, scatter: the scores of the experiments that changed one hyperparameter.

import { withQuery } from "../api.js";
import { axisOf } from "../charts/axes.js";
import { Scatter } from "../charts/scatter.js";
import { element, emptyState, plain, refill } from "../dom.js";
import * as figures from "../figures.js";
import { ofLine, showLine } from "../line.js";
import { fill } from "../visit.js";
import { rowsOf, valueTable } from "./value_table.js";

export const show = (visit) => showLine(visit, nothing, (line) => scatterView(visit, line));

async function scatterView(visit, line) {
  const { hyperparameters } = await visit.get(ofLine("experiments/filters", line));
  const wanted = visit.query.get("name") ?? hyperparameters[0]?.value;
  if (wanted === undefined) return nothing();
  const plot = element("div", { class: "plot-place" });
  const known = hyperparameters.some(({ value }) => value === wanted) ? hyperparameters : [...hyperparameters, { value: wanted, count: 0 }];
  const select = element("select", { name: "hyperparameter" }, known.map(({ value, count }) => element("option", { value, selected: value === wanted }, `${plain(value)} (${count.toLocaleString()})`)));
  let ending = new AbortController();
  const draw = () => {
    ending.abort();
    ending = new AbortController();
    const signal = AbortSignal.any([visit.signal, ending.signal]);
    return fill(plot, () => plotOf(visit, line, select.value, signal));
  };
  select.addEventListener("change", () => {
    visit.remember(withQuery("insights/scatter", { name: select.value }));
    refill(plot);
    draw();
  });
  draw();
  return [element("div", { class: "filters" }, element("label", { class: "field" }, "Hyperparameter", select)), plot];
}

const nothing = () => emptyState("No hyperparameter was changed yet", "The score of each experiment will be shown here by the value of one hyperparameter.", "arnode start");

async function plotOf(visit, line, name, signal) {
  const found = await visit.get(ofLine("hyperparameters", line, { name }));
  const sd = line.noise_sd ?? null;
  const rows = rowsOf(found, sd).map((row) => ({ ...row, value: row.values.get(name) ?? null }));
  if (rows.length === 0) return emptyState("No experiment changed this hyperparameter", "Choose another one.");
  const scatter = new Scatter({
    rows,
    axis: axisOf(name, rows.map(({ value }) => value)),
    metric: found.metric,
    level: line.working?.metric ?? line.head?.metric ?? null,
    sd,
    open: ({ id }) => (location.hash = `#/experiments/${id}`),
    detailOf: (id) => visit.get(`experiments/${id}`),
    signal,
  });
  const more = found.total > rows.length ? `The latest ${rows.length.toLocaleString()} of ${figures.many(found.total, "experiment")}` : figures.many(rows.length, "experiment");
  return [
    element("p", { class: "soft" }, `${more} that changed it. A click opens one.`),
    scatter.place,
    element("h2", {}, "The same as a table"),
    valueTable({ caption: `Experiments by ${name}`, rows: [...rows].reverse(), names: [name], metric: found.metric, signal }),
  ];
}
