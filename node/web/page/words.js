// How outcomes are told: the same words as in the terminal (node/terminal/vocabulary.py; a test holds
// this table against it). `tone` is a class of the style sheets.

import { element, plain } from "./dom.js";

export const WORDINGS = {
  "kept": ["kept", "its runs gain: the working line has it", "good"],
  "screened_out": ["discarded", "the first run gains too little for a second", "soft"],
  "rechecked_out": ["discarded", "fresh seeds do not bear its first run out", "soft"],
  "failed": ["failed", "it gave no metric", "bad"],
  "rejected": ["rejected", "rejected by the evaluator", "worse"],
  "rebased": ["discarded", "good, but the working line had moved on: tried again there", "soft"],
  "discarded": ["discarded", "too little gain, or the working line had moved on", "soft"],
  "baseline": ["baseline", "the task's own source", ""],
  "branched": ["branched", "the working line goes on from another tree", "working"],
  "confirmed": ["confirmed", "there is a gain in pairs of fresh runs", "best"],
  "smaller": ["smaller", "there is a gain, but a smaller one than claimed", "good"],
  "unconfirmed": ["unconfirmed", "no gain shows in these pairs; a small one may still be there", "bad"],
  "overfit": ["overfit", "discarded as overfit: it gains on the visible data and not on the holdout", "worse"],
  "refuted": ["refuted", "what was claimed is not there, nor any gain that shows", "worse"],
  "unrunnable": ["unrunnable", "it does not run here, which says nothing of it", "bad"],
  "open": ["open", "interrupted before it was known", "soft"],
  "in_doubt": ["not re-confirmed yet", "it was put in doubt, and no pairs settled that since", "bad"],
  "adopted": ["confirmed", "there is a gain in pairs of fresh runs", "best"],
  "passed": ["confirmed", "there is a gain in pairs of fresh runs", "best"],
  "missed": ["unconfirmed", "no gain shows in these pairs; a small one may still be there", "bad"],
  "no gain": ["discarded", "it was not kept", "soft"]
};

// Decisions and stages that an experiment's record tells.
export const DECISIONS = ["kept", "adopted", "unconfirmed", "overfit", "discarded", "failed", "rejected", "branched", "baseline"];
export const STAGES = ["screen", "keep", "confirm", "baseline"];
export const LEVELS = {
  claimed: "what its author's key signed",
  others: "keys, not people, whose own runs bear out what they say",
  here: "measured on this machine",
};

// An outcome of a later version is told by its own name.
export function wording(outcome) {
  const known = Object.hasOwn(WORDINGS, outcome) ? WORDINGS[outcome] : null;
  const [word, meaning, tone] = known ?? [plain(outcome), "", ""];
  return { word, meaning, tone };
}

export function badge(outcome) {
  const { word, meaning, tone } = wording(outcome);
  return element("span", { class: `badge ${tone}`, title: meaning }, word);
}
