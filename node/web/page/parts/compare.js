// Two experiments side by side: their figures, curves and diffs.

import { segment } from "../api.js";
import { Curves } from "../charts/curve.js";
import { diffView } from "../diff.js";
import { element, link, plain, quoted, section, table } from "../dom.js";
import * as figures from "../figures.js";
import { verdict } from "./experiment.js";

export const title = "Side by side";

export async function show(visit) {
  const both = await Promise.all(visit.parameters.map((id) => visit.get(`experiments/${segment(id)}`)));
  const names = both.map(({ experiment }) => plain(experiment.title));
  visit.show(figuresSection(both), curvesSection(both, names, visit.signal));
  visit.show(element("div", { class: "two" }, both.map((data) => columnOf(data))));
}

function columnOf(data) {
  const { experiment } = data;
  return element(
    "section",
    {},
    element("h2", {}, link(`experiments/${experiment.id}`, quoted(experiment.title))),
    verdict(data),
    element("h3", {}, "Diff"),
    diffView(data.diff, `Diff of ${plain(experiment.title)}`),
  );
}

function figuresSection(both) {
  const [one, other] = both.map(({ experiment, runs }) => ({
    metric: experiment.metric,
    gain: experiment.gain,
    base: experiment.parent,
    seconds: mean(runs.map(({ ms }) => ms / 1000)),
    memory: runs.reduce((most, run) => Math.max(most, run.peak_mem ?? 0), 0),
  }));
  const difference = (a, b) => (figures.isKnown(a) && figures.isKnown(b) ? figures.signed(b - a) : "–");
  // Gains over different bases cannot be subtracted.
  const gains = one.base === other.base ? difference(one.gain, other.gain) : "different bases";
  const rows = [
    ["metric", figures.metric(one.metric), figures.metric(other.metric), difference(one.metric, other.metric)],
    ["gain", figures.signed(one.gain), figures.signed(other.gain), gains],
    ["a run took", figures.span(one.seconds), figures.span(other.seconds), ""],
    ["memory", figures.size(one.memory), figures.size(other.memory), ""],
  ];
  const columns = [{ name: "" }, { name: "left", figure: true }, { name: "right", figure: true }, { name: "right − left", figure: true }];
  return section("Figures", table("Figures of both", columns, rows));
}

function curvesSection(both, names, signal) {
  const curves = new Curves({ label: "Loss of both", signal });
  curves.put(
    both.flatMap(({ runs }, side) =>
      runs.map(({ seed, curve }) => ({ name: `${side === 0 ? "left" : "right"}: ${names[side]}, seed ${seed}`, curve })),
    ),
  );
  return curves.place;
}

function mean(values) {
  const known = values.filter(figures.isKnown);
  return known.length > 0 ? known.reduce((sum, one) => sum + one, 0) / known.length : null;
}
