// The score against one hyperparameter, parallel coordinates of several, and a table of the selection.

import { segment, withQuery } from "../api.js";
import { Parallel } from "../charts/parallel.js";
import { Scatter } from "../charts/scatter.js";
import { element, emptyState, link, plain, quoted, refill, section, table } from "../dom.js";
import * as figures from "../figures.js";
import { chosenLine, lineChooser, ofLine } from "../line.js";
import { badge } from "../words.js";

const MOST_AXES = 7;
const AXIS_PX = 130; // room for an axis
const MOST_LINES = 1_000; // of the newest experiments
const MOST_LISTED = 50;

export async function show(visit) {
  const { lines, line } = await chosenLine(visit);
  const found = line === null ? null : await visit.get(ofLine("hyperparameters", line));
  const rows = found === null ? [] : rowsOf(found);
  const varied = (found?.names ?? []).filter((name) => new Set(rows.map(({ values }) => values[name])).size > 1);
  if (varied.length === 0) {
    visit.show(emptyState("No hyperparameter was varied yet", "Scores by the values of hyperparameters will be shown here. Start the node: its search varies the constants in the editable files.", "arnode start"));
    return;
  }
  if (lines.length > 1) visit.show(lineChooser(lines, line, () => dispatchEvent(new Event("hashchange"))));
  const wanted = { name: visit.query.get("name") ?? "", brush: visit.query.get("brush") ?? "" };
  if (!varied.includes(wanted.name)) wanted.name = varied[0];
  const remember = () => visit.remember(withQuery("insights/values", wanted));
  const options = {
    metric: found.metric,
    sd: line.noise_sd,
    head: line.head?.metric ?? null,
    signal: visit.signal,
    open: (id) => (location.hash = `#/experiments/${id}`),
    detailOf: (id) => visit.get(`experiments/${segment(id)}`),
  };
  visit.show(scatterSection(rows, varied, wanted, options, remember), parallelSection(rows, varied, wanted, options, remember));
}

function rowsOf({ names, id, ts, title, decision, score, values }) {
  return id.map((one, at) => ({
    id: one,
    ts: ts[at],
    title: title[at],
    decision: decision[at],
    score: score[at],
    values: Object.fromEntries(names.map((name) => [name, values[name][at]])),
  }));
}

function scatterSection(rows, varied, wanted, options, remember) {
  const place = element("div", {});
  const draw = () => refill(place, new Scatter(rows.map((row) => ({ ...row, value: row.values[wanted.name] })), { ...options, name: wanted.name }).place);
  const change = ({ target }) => {
    wanted.name = target.value;
    remember();
    draw();
  };
  const choice = element("select", { on: { change } }, varied.map((name) => element("option", { value: name, selected: name === wanted.name }, plain(name))));
  draw();
  return section("Score by one hyperparameter", element("label", { class: "field" }, "Hyperparameter", choice), place);
}

function parallelSection(rows, varied, wanted, options, remember) {
  const axes = varied.slice(0, Math.min(MOST_AXES, Math.max(2, Math.floor(innerWidth / AXIS_PX))));
  const shown = rows.slice(-MOST_LINES);
  const count = element("p", { class: "soft", role: "status" });
  const listed = element("div", {});
  const changed = (brushes) => {
    wanted.brush = [...brushes].map(([name, ends]) => [name, ...ends.map((end) => end.toFixed(3))].join(":")).join(",");
    remember();
    list();
  };
  const parallel = new Parallel(shown, axes, { ...options, brushes: brushesOf(wanted.brush), changed });
  const list = () => {
    const selected = parallel.selected;
    const older = rows.length > shown.length ? `; the latest ${shown.length.toLocaleString()} are drawn` : "";
    refill(count, `${figures.many(selected.length, "experiment")} of ${rows.length.toLocaleString()} selected${older}`);
    refill(listed, selectionTable(selected.slice(0, MOST_LISTED), axes, options));
  };
  requestAnimationFrame(list); // a brush needs the scales, which need the width
  return section("Parallel coordinates", parallel.place, count, element("details", {}, element("summary", {}, `The best ${MOST_LISTED} of the selection`), listed));
}

function brushesOf(text) {
  const found = text.split(",").map((one) => one.split(":"));
  const valid = found.filter(([name, from, to]) => name && Number.isFinite(Number(from)) && Number.isFinite(Number(to)));
  return new Map(valid.map(([name, ...ends]) => [name, ends.map(Number)]));
}

function selectionTable(rows, axes, { metric, sd }) {
  const columns = [{ name: "title" }, { name: "decision" }, { name: plain(metric.name || metric.unit), figure: true }, ...axes.map((name) => ({ name: plain(name), figure: true }))];
  const cells = rows.map(({ id, title, decision, score, values }) => [
    link(`experiments/${id}`, quoted(title)),
    badge(decision),
    figures.metric(score, sd),
    ...axes.map((name) => plain(String(values[name]))),
  ]);
  return table("Selected experiments, best first", columns, cells);
}
