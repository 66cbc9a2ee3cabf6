// Where a line stands: its baseline, its head, what is on top of it, and the gap to the bound.

import { element, said, table } from "../dom.js";
import * as figures from "../figures.js";
import { badge } from "../words.js";

// `told` is the progress, `line` what the node's status says of it.
export function headline(told, line) {
  const { metric, baseline, best_known: best, points, head_words: headWords } = told;
  const sign = metric.direction === "max" ? -1 : 1;
  const head = line.head?.metric ?? points.head.at(-1) ?? null;
  const working = line.working?.keeps > 0 ? (points.working.at(-1) ?? null) : head;
  const rows = [
    ["baseline", figures.metric(baseline), "", line.noise_sd ? `±${figures.metric(line.noise_sd)} sd of one run` : ""],
    [element("strong", {}, headWords), figures.metric(head), gained(baseline, head, sign, line.noise_sd), standing(line)],
    ["working line", figures.metric(working), gained(baseline, working, sign, line.noise_sd), onTop(line.working)],
  ];
  if (figures.isKnown(best)) {
    const gap = figures.isKnown(head) ? figures.gap(sign * (head - best)) : "";
    rows.push(["best known", figures.metric(best), gap, "given by the task"]);
  }
  return table(
    "Results so far",
    [{ name: "" }, { name: metric.unit || metric.name, figure: true }, { name: "gain", figure: true }, { name: "" }],
    rows,
  );
}

function gained(baseline, value, sign, noise) {
  if (!figures.isKnown(baseline) || !figures.isKnown(value) || baseline === value) return "";
  const gain = sign * (baseline - value);
  const scale = noise > 0 ? ` (${figures.deviations(gain / noise, 1)})` : "";
  return `${figures.signed(gain)}${scale}`;
}

function standing({ head }) {
  if (!head) return "";
  if (head.recheck_pending) return [badge("recheck_pending"), " ", said(head.recheck_pending)];
  return head.runs > 0 ? `mean of ${figures.many(head.runs, "run")}` : "";
}

function onTop(working) {
  if (!working || working.keeps === 0) return "same as the head";
  const keeps = figures.many(working.keeps, "patch", "patches");
  return working.branch ? [keeps, " on ", said(working.branch), ", not verified yet"] : `${keeps} on top, not verified yet`;
}
