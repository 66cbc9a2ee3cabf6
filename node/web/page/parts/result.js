// The result so far: baseline, working line and verified head as large figures, and the promotion trial.

import { gainWords } from "../charts/pairs.js";
import { append, element, link, plain, quoted, refill, term } from "../dom.js";
import * as figures from "../figures.js";
import { badge } from "../words.js";

// `progress` is the line's history, `line` its entry in the node's status.
export function resultView(progress, line) {
  const { metric, baseline: first, best_known: best, points, head_words: headWords } = progress;
  const sign = metric.direction === "max" ? -1 : 1;
  const sd = line.noise_sd;
  const baseline = line.baseline ?? first;
  const head = line.head?.metric ?? points.head.at(-1) ?? null;
  const working = line.working?.keeps > 0 ? (line.working.metric ?? points.working.at(-1) ?? null) : head;
  const unit = metric.unit || metric.name;
  const gained = (value) => gainView(baseline, value, sign, sd);
  const noise = sd > 0 ? [term("noise"), `: 1 sd = ${figures.noise(sd)} ${unit}`] : sd === 0 ? ["exact: no ", term("noise")] : null;
  const headName = headWords === "verified head" ? heading(headWords) : headWords;
  const cards = [
    card({ name: [heading("baseline")], value: baseline, unit, sd, more: noise }),
    card({ name: heading("working line"), value: working, unit, sd, gain: gained(working), more: onTop(line.working), kind: "working" }),
    card({ name: headName, value: head, unit, sd, gain: gained(head), more: standing(line, points), kind: "head" }),
  ];
  if (figures.isKnown(best)) {
    const gap = figures.isKnown(head) ? figures.gap(sign * (head - best)) : null;
    cards.push(card({ name: "Best known", value: best, unit, sd, gain: gap, more: "given by the task" }));
  }
  return element("div", { class: "results" }, cards);
}

// A term of the glossary at the start of a heading.
const heading = (word) => term(word, word[0].toUpperCase() + word.slice(1));

function card({ name, value, unit, sd, gain = null, more = null, kind = "" }) {
  return element(
    "div",
    { class: `card result ${kind}` },
    element("h2", {}, name),
    element("p", { class: "value" }, element("span", { class: "big" }, figures.metric(value, sd)), " ", element("span", { class: "soft" }, plain(unit))),
    gain === null ? null : element("p", { class: "gain figure" }, gain),
    more === null ? null : element("p", { class: "soft" }, more),
  );
}

function gainView(baseline, value, sign, sd) {
  if (!figures.isKnown(baseline) || !figures.isKnown(value)) return null;
  if (baseline === value) return element("span", { class: "soft" }, "no gain yet");
  return figures.gain(sign * (baseline - value), sd);
}

function standing({ head }, points) {
  if (!head) return null;
  if (head.recheck_pending) return [badge("recheck_pending"), " ", quoted(head.recheck_pending)];
  const runs = head.runs > 0 ? `mean of ${figures.many(head.runs, "run")}` : null;
  const at = points.decision.lastIndexOf("adopted");
  const since = at < 0 ? null : link(`experiments/${points.id[at]}`, "promoted ", figures.ago(points.ts[at]));
  return [runs, runs && since ? ", " : null, since];
}

function onTop(working) {
  if (!working || working.keeps === 0) return "same as the head";
  const keeps = figures.many(working.keeps, "patch", "patches");
  return working.branch ? [keeps, " on ", quoted(working.branch), ", not verified yet"] : `${keeps} on top of the head, not verified yet`;
}

// The promotion trial: its evidence while it runs, or else when the next one is due.
export class Trial {
  place = element("p", { class: "trial" });
  #line = null;
  #evidence = null;
  #isRunning = false;

  putLine(line) {
    this.#line = line;
    this.#show();
  }

  putNow(now) {
    this.#evidence = now?.evidence ?? null;
    this.#isRunning = now !== null;
    this.#show();
  }

  #show() {
    if (this.#line === null) return;
    const words = this.#evidence ? evidenceView(this.#evidence, this.#line.noise_sd) : dueWords(this.#line.working, this.#isRunning);
    refill(this.place, words);
  }
}

function evidenceView({ pairs, share, gain, lower, upper }, sd) {
  const words = `${figures.share(share)} of the evidence after ${figures.many(pairs, "pair")}`;
  const meter = element("meter", { min: "0", max: "1", value: String(share ?? 0), "aria-label": "Evidence of the promotion trial" }, words);
  return append(element("span", {}), term("promotion trial", "Promotion trial"), " in progress ", meter, ` ${words}; ${gainWords(gain, lower, upper, sd)}`);
}

function dueWords(working, isRunning) {
  const trial = term("promotion trial");
  if (!working || working.keeps === 0) return ["No ", trial, " is due: no patch was kept since the last one."];
  if (working.branch) return ["A ", trial, " starts once this branch leads the head by 2 sd."];
  if (working.trial_after === null) return null;
  if (!isRunning) return ["No node is running. The next ", trial, " starts ", working.trial_after > 0 ? `after ${figures.many(working.trial_after, "more kept patch", "more kept patches")}, once a node runs.` : "when a node runs again."];
  const after = working.trial_after > 0 ? `after ${figures.many(working.trial_after, "more kept patch", "more kept patches")}` : "";
  const isPast = working.trial_by_ms <= Date.now();
  if (!after || isPast) return ["The next ", trial, " is due now."];
  return ["The next ", trial, ` is due ${after}, or at ${figures.time(working.trial_by_ms)} at the latest.`];
}
