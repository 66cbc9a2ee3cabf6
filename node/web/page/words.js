// The words for outcomes, equal to those of the terminal (node/terminal/vocabulary.py; a test compares
// the two). `tone` is a class of the style sheets.

import { element, plain } from "./dom.js";

export const WORDINGS = {
  "kept": ["kept", "both runs gain: it is in the working line", "working"],
  "screened_out": ["discarded", "the first run gains too little for a recheck", "soft"],
  "rechecked_out": ["discarded", "the recheck does not confirm the first run", "soft"],
  "failed": ["failed", "it ended without a score", "bad"],
  "rejected": ["rejected", "rejected by the evaluator", "worse"],
  "rebased": ["discarded", "good, but the working line had changed: tried again on it", "soft"],
  "discarded": ["discarded", "too little gain, or the working line had changed", "soft"],
  "baseline": ["baseline", "the task's unedited source", ""],
  "branched": ["branched", "the working line continues from another source", "working"],
  "confirmed": ["confirmed", "pairs of new runs show a gain", "best"],
  "smaller": ["smaller", "there is a gain, but a smaller one than claimed", "good"],
  "unconfirmed": ["unconfirmed", "these pairs show no clear gain; there may be a small one", "bad"],
  "overfit": ["overfit", "discarded as overfit: it gains on the visible data and fails on the holdout", "worse"],
  "refuted": ["refuted", "the pairs show neither the claimed gain nor a smaller one", "worse"],
  "unrunnable": ["unrunnable", "it does not run here; this does not count against it", "bad"],
  "open": ["open", "interrupted before a result", "soft"],
  "recheck_pending": ["not re-confirmed yet", "its gain is in doubt, and no pairs have settled it yet", "bad"],
  "adopted": ["confirmed", "pairs of new runs show a gain", "best"],
  "passed": ["confirmed", "pairs of new runs show a gain", "best"],
  "missed": ["unconfirmed", "these pairs show no clear gain; there may be a small one", "bad"],
  "no gain": ["discarded", "it was not kept", "soft"]
};

// The decisions and stages of an experiment.
export const DECISIONS = ["kept", "adopted", "unconfirmed", "overfit", "discarded", "failed", "rejected", "branched", "baseline"];
export const STAGES = ["screen", "keep", "confirm", "baseline"];
export const LEVELS = {
  claimed: "signed by the author's key",
  others: "re-run by other keys (not people)",
  here: "measured on this machine",
};

// An outcome that only a later version knows is shown by its name.
export function wording(outcome) {
  const known = Object.hasOwn(WORDINGS, outcome) ? WORDINGS[outcome] : null;
  const [word, meaning, tone] = known ?? [plain(outcome), "", ""];
  return { word, meaning, tone };
}

// Returns an outcome's word with its tone. `why` is a more exact reason than the outcome's meaning.
export function badge(outcome, why = "") {
  const { word, meaning, tone } = wording(outcome);
  return element("span", { class: `badge ${tone}`, title: why ? plain(why) : meaning }, word);
}
