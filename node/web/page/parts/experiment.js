// One experiment: what was decided and why, its pairs and runs, its diff, and what led to it.

import { segment } from "../api.js";
import { Curves } from "../charts/curve.js";
import { gainWords } from "../charts/pairs.js";
import { diffView } from "../diff.js";
import { element, facts, link, plain, said, saidInLines, section, table } from "../dom.js";
import * as figures from "../figures.js";
import { badge } from "../words.js";
import { pairsSection } from "./pairs.js";
import { timelineSection } from "./timeline.js";

export const title = "Experiment";

export async function show(visit) {
  const told = await visit.get(`experiments/${segment(visit.parameters[0])}`);
  const { experiment, record } = told;
  visit.entitle(plain(experiment.title) || "Experiment");
  visit.show(
    verdict(told),
    pairsSection(told.pairs, told),
    runsSection(told, visit.signal),
    section("What it changed", diffView(told.diff)),
    told.note ? section("Note", saidInLines(told.note, { isProse: true })) : null,
    told.log_tail ? section("End of its log", element("p", { class: "soft" }, "This is the script's own output. It is not used in judging."), saidInLines(told.log_tail, { label: "End of its log" })) : null,
    timelineSection(record.timeline),
    lineageSection(told.lineage),
    section("Its record", link(`records/${record.id}`, "Record ", element("code", {}, figures.short(record.id)), " and all records that refer to it")),
  );
}

export function verdict({ experiment, gain, lower, upper, words, record }) {
  const { decision, metric, stage, origin, status, ts, tree, parent } = experiment;
  return element(
    "div",
    { class: "verdict" },
    element("p", {}, badge(decision), " ", plain(words)),
    facts([
      ["metric", figures.metric(metric)],
      ["gain over its base", figures.isKnown(experiment.gain) ? figures.signed(experiment.gain) : null],
      ["in pairs", figures.isKnown(gain) ? gainWords(gain, lower, upper) : null],
      ["stage", plain(stage)],
      ["status", plain(status)],
      ["proposed by", said(origin)],
      ["when", figures.time(ts)],
      ["tree", element("code", {}, figures.short(tree))],
      ["on", element("code", {}, figures.short(parent))],
      ["retracted", record?.retracted ? said(record.retracted) : null],
    ]),
  );
}

function runsSection({ runs }, signal) {
  if (runs.length === 0) return null;
  const curves = new Curves({ label: "Loss of its runs", signal });
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
    figures.metric(run.metric),
    figures.milliseconds(run.ms),
    figures.milliseconds(run.cpu_ms),
    figures.size(run.peak_mem),
    plain((run.flags ?? []).join(", ")),
    run.reason ? said(run.reason) : "",
  ]);
  return section("Runs", curves.place, table("Its runs", columns, rows));
}

function lineageSection(lineage) {
  if (lineage.length === 0) return null;
  const item = ({ tree, title: name, experiment, author }) =>
    element(
      "li",
      {},
      experiment ? link(`experiments/${experiment}`, said(name || figures.short(tree))) : said(name || figures.short(tree)),
      author ? element("span", { class: "soft" }, ` by ${figures.short(author)}`) : null,
    );
  return section("Its ancestors", element("ol", { class: "plain-list" }, lineage.map(item)));
}
