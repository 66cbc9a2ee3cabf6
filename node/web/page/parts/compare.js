// Up to six experiments side by side: their figures, changed hyperparameters, loss curves and diffs.

import { segment } from "../api.js";
import { Curves, lookOf, sampleOf } from "../charts/curve.js";
import { diffView } from "../diff.js";
import { append, element, emptyState, link, plain, quoted, scrollable, section, skeleton, term } from "../dom.js";
import * as figures from "../figures.js";
import { noiseOf } from "../line.js";
import { badge } from "../words.js";
import { changeView } from "./experiment_columns.js";
import { MOST_COMPARED } from "./selection.js";
import { STAR } from "./tags.js";

const CURVES_PX = 300;
export const title = "Side by side";

export async function show(visit) {
  const ids = [...new Set(visit.parameters[0].split(",").filter(Boolean))];
  if (ids.length < 2 || ids.length > MOST_COMPARED) {
    visit.show(emptyState(`Two to ${MOST_COMPARED} experiments can be compared`, "Select them in the list of experiments with `x`, then press `c`."), link("experiments", "To the experiments"));
    return;
  }
  const waiting = skeleton(8);
  visit.show(waiting);
  let found;
  let status;
  try {
    [status, ...found] = await Promise.all([visit.get("status"), ...ids.map((id) => visit.get(`experiments/${segment(id)}`))]);
  } finally {
    waiting.remove();
  }
  const all = found.map((data) => ({ ...data, sd: noiseOf(data, status) }));
  visit.setTitle(`${all.length} experiments side by side`);
  visit.show(figuresSection(all), changesSection(all), curvesSection(all, visit.signal), diffsSection(all));
}

function figuresSection(all) {
  const bases = new Set(all.map(({ experiment }) => experiment.parent));
  const isOneTask = new Set(all.map(({ experiment }) => `${experiment.task} ${experiment.class}`)).size === 1;
  const rows = [
    ["decision", ({ experiment, words }) => [badge(experiment.decision), element("div", { class: "soft" }, plain(words))]],
    [term("score"), ({ experiment, sd }) => [figures.metric(experiment.metric, sd), figures.isKnown(experiment.metric) && sd > 0 ? element("span", { class: "soft" }, ` ± ${figures.noise(sd)} (1 sd of the `, term("noise"), ")") : null]],
    ["gain over its base", ({ experiment, sd }) => figures.gain(experiment.gain, sd)],
    [["gain in ", term("pair", "pairs")], ({ gain, lower, upper, sd }) => (figures.isKnown(gain) ? [figures.gain(gain, sd), element("div", { class: "soft" }, figures.interval(lower, upper, sd))] : "–")],
    ["base", ({ experiment }) => element("code", {}, figures.short(experiment.parent)), ({ experiment }) => experiment.parent],
    [term("run", "runs"), runsView],
    ["duration of a run", ({ runs }) => figures.span(mean(runs.map(({ ms }) => ms / 1000)))],
    ["memory", ({ experiment }) => figures.size(experiment.peak_mem)],
    ["stage", ({ experiment }) => plain(experiment.stage), ({ experiment }) => experiment.stage],
    [term("proposer"), ({ experiment }) => quoted(experiment.origin), ({ experiment }) => experiment.origin],
    ["tags", ({ experiment }) => experiment.tags.map((one) => [element("span", { class: "chip" }, one === STAR ? "★ starred" : plain(one)), " "])],
    ["time", ({ experiment }) => figures.time(experiment.ts)],
  ];
  const notes = [
    isOneTask ? null : "They belong to different tasks or hardware classes, so their scores cannot be compared.",
    isOneTask && bases.size > 1 ? "They have different bases, so their gains cannot be subtracted." : null,
  ];
  return section("Figures", notes.map((note) => note && element("p", {}, note)), comparison("Figures of the experiments", all, rows));
}

function runsView({ runs, sd }) {
  const run = (one) => element("li", {}, `${one.role}, seed ${one.seed}: `, figures.isKnown(one.metric) ? figures.metric(one.metric, sd) : [plain(one.status), one.reason ? [", ", quoted(one.reason)] : null]);
  return element("ul", { class: "runs-of figure" }, runs.map(run));
}

const changedTitle = () => ["Changed ", term("hyperparameter", "hyperparameters")];

function changesSection(all) {
  const names = [...new Set(all.flatMap(({ experiment }) => Object.keys(experiment.changes)))].sort();
  if (names.length === 0) return section(changedTitle(), element("p", { class: "soft" }, "None of these patches changed a constant in capitals."));
  const changeOf = ({ experiment }, name) => (Object.hasOwn(experiment.changes, name) ? experiment.changes[name] : null);
  const rows = names.map((name) => [
    quoted(name),
    (data) => changeView(changeOf(data, name)) ?? element("span", { class: "soft" }, "not changed"),
    (data) => changeOf(data, name)?.[1] ?? null,
  ]);
  return section(changedTitle(), element("p", { class: "soft" }, "Values that differ from those of the first experiment are marked."), comparison("Changed hyperparameters", all, rows));
}

// A table with a column for each experiment. A row is [name, view, value]; cells whose value differs
// from the first one are marked.
function comparison(caption, all, rows) {
  const heading = ({ experiment }, at) => element("th", { scope: "col" }, sampleOf(lookOf(at)), link(`experiments/${experiment.id}`, quoted(experiment.title)));
  const cell = (data, view, value) => {
    const differs = value !== undefined && value(data) !== value(all[0]);
    return append(element("td", { class: differs ? "differs" : null }), view(data), differs ? element("span", { class: "unseen" }, " (differs from the first)") : null);
  };
  const made = element(
    "table",
    { class: "compared", "aria-label": caption },
    element("thead", {}, element("tr", {}, element("td", { class: "corner" }), all.map(heading))),
    element("tbody", {}, rows.map(([name, view, value]) => element("tr", {}, element("th", { scope: "row" }, name), all.map((data) => cell(data, view, value))))),
  );
  made.style.setProperty("--count", String(all.length));
  return scrollable(element("div", { class: "wide" }, made), caption);
}

function curvesSection(all, signal) {
  const curves = new Curves({ label: "Loss of the experiments", signal, height: CURVES_PX });
  const runs = all.flatMap(({ experiment, runs: some }, group) => some.filter(({ role }) => role !== "base").map(({ curve }) => ({ name: plain(experiment.title), curve, group })));
  curves.put(runs);
  if (!curves.place.hidden) return section("Loss", curves.place);
  return section("Loss", element("p", { class: "soft" }, "These runs printed no loss, so there are no curves."));
}

function diffsSection(all) {
  const one = (data, at) => {
    const name = quoted(data.experiment.title);
    return element("section", {}, element("h3", {}, sampleOf(lookOf(at)), name), diffView(data.diff, `Diff of ${plain(data.experiment.title)}`));
  };
  return section("Diffs", scrollable(element("div", { class: "side-by-side" }, all.map(one)), "Diffs side by side"));
}

function mean(values) {
  const known = values.filter(figures.isKnown);
  return known.length > 0 ? known.reduce((sum, one) => sum + one, 0) / known.length : null;
}
