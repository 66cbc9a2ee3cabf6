// One experiment: the decision and its reason, how it was proposed, pairs, runs, diff and ancestors.

import { segment } from "../api.js";
import { Curves } from "../charts/curve.js";
import { gainWords } from "../charts/pairs.js";
import { diffView } from "../diff.js";
import { element, facts, link, plain, quoted, quotedLines, section, table } from "../dom.js";
import * as figures from "../figures.js";
import { noiseOf } from "../line.js";
import { fill } from "../visit.js";
import { badge } from "../words.js";
import { mayWrite, noteView } from "./owner_note.js";
import { pairsSection } from "./pairs.js";
import { timelineSection } from "./timeline.js";
import { traceView } from "./trace.js";

export const title = "Experiment";

export async function show(visit) {
  const [status, found] = await Promise.all([visit.get("status"), visit.get(`experiments/${segment(visit.parameters[0])}`)]);
  const data = { ...found, sd: noiseOf(found, status) };
  const { experiment, record } = data;
  visit.setTitle(`#${experiment.number} ${plain(experiment.title)}`);
  visit.show(
    verdict(data),
    pairsSection(data.pairs, data),
    runsSection(data, visit.signal),
    section("Diff", diffView(data.diff)),
    data.owner_note || mayWrite(visit) ? section("Your note", noteView(visit, experiment.id, data.owner_note)) : null,
    data.trace === null ? null : section("How it was proposed", traced(visit, data.trace)),
    data.log_tail ? section("End of the log", element("p", { class: "soft" }, "Output of the script. It does not affect the decision."), quotedLines(data.log_tail, { label: "End of the log" })) : null,
    timelineSection(record.timeline),
    lineageSection(data.lineage),
    section("Record", link(`records/${record.id}`, "Record ", element("code", {}, figures.short(record.id)), " and all records that refer to it")),
  );
}

function traced(visit, number) {
  const place = element("div", {}, element("p", { class: "soft" }, "Loading …"));
  fill(place, async () => traceView(await visit.get(`traces/${number}`)));
  return [place, element("p", {}, link("visits", "All visits of models and agents"))];
}

function verdict({ experiment, note, gain, lower, upper, words, record, sd }) {
  const { decision, metric, stage, origin, status, ts, tree, parent } = experiment;
  return element(
    "div",
    { class: "verdict" },
    element("p", {}, badge(decision), " ", quoted([words, note].filter(Boolean).join("; "))),
    facts([
      ["experiment", `#${experiment.number} of its line`],
      ["metric", figures.metric(metric, sd)],
      ["gain over the base", figures.isKnown(experiment.gain) ? figures.gain(experiment.gain, sd) : null],
      ["gain in pairs", figures.isKnown(gain) ? gainWords(gain, lower, upper, sd) : null],
      ["stage", plain(stage)],
      ["status", plain(status)],
      ["proposed by", quoted(origin)],
      ["time of its runs", figures.span(experiment.ms / 1000)],
      ["when", figures.time(ts)],
      ["source", element("code", {}, figures.short(tree))],
      ["base", element("code", {}, figures.short(parent))],
      ["retracted", record?.retracted ? quoted(record.retracted) : null],
    ]),
  );
}

function runsSection({ runs, sd }, signal) {
  if (runs.length === 0) return null;
  const curves = new Curves({ label: "Loss of the runs", signal });
  curves.put(runs.map(({ seed, role, curve }) => ({ name: `${role}, seed ${seed}`, curve })));
  const columns = [
    { name: "seed", figure: true },
    { name: "role" },
    { name: "status" },
    { name: "metric", figure: true },
    { name: "took", figure: true },
    { name: "CPU", figure: true },
    { name: "memory", figure: true },
    { name: "flags" },
    { name: "reason" },
  ];
  const rows = runs.map((run) => [
    String(run.seed),
    plain(run.role),
    plain(run.status),
    figures.metric(run.metric, sd),
    figures.milliseconds(run.ms),
    figures.milliseconds(run.cpu_ms),
    figures.size(run.peak_mem),
    plain((run.flags ?? []).join(", ")),
    run.reason ? quoted(run.reason) : "",
  ]);
  return section("Runs", curves.place, table("Runs", columns, rows));
}

function lineageSection(lineage) {
  if (lineage.length === 0) return null;
  const item = ({ tree, title: name, experiment, author }) =>
    element(
      "li",
      {},
      experiment ? link(`experiments/${experiment}`, quoted(name || figures.short(tree))) : quoted(name || figures.short(tree)),
      author ? element("span", { class: "soft" }, ` by ${figures.short(author)}`) : null,
    );
  return section("Ancestors", element("ol", { class: "plain-list" }, lineage.map(item)));
}
