// The scores of a line's baseline, verified head and working line, and the gap to the best known score.

import { element, quoted, table } from "../dom.js";
import * as figures from "../figures.js";
import { badge } from "../words.js";

// `progress` is the line's history, `line` its entry in the node's status.
export function headline(progress, line) {
  const { metric, baseline, best_known: best, points, head_words: headWords } = progress;
  const sign = metric.direction === "max" ? -1 : 1;
  const head = line.head?.metric ?? points.head.at(-1) ?? null;
  const working = line.working?.keeps > 0 ? (points.working.at(-1) ?? null) : head;
  const rows = [
    ["baseline", figures.metric(baseline), "", line.noise_sd ? `noise: sd ${figures.metric(line.noise_sd)}` : ""],
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
  if (head.recheck_pending) return [badge("recheck_pending"), " ", quoted(head.recheck_pending)];
  return head.runs > 0 ? `mean of ${figures.many(head.runs, "run")}` : "";
}

function onTop(working) {
  if (!working || working.keeps === 0) return "same as the head";
  const keeps = figures.many(working.keeps, "patch", "patches");
  return working.branch ? [keeps, " on ", quoted(working.branch), ", not verified yet"] : `${keeps} on top of the head, not verified yet`;
}
