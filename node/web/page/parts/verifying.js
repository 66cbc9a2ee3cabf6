// *Verify here*: a claim is run again on this machine, and followed pair by pair.

import { element, refill, said, section } from "../dom.js";
import * as figures from "../figures.js";
import { attempt, faultText, say } from "../visit.js";
import { badge, wording } from "../words.js";
import { pairsView } from "./pairs.js";

const POLL_MS = 10_000; // besides the events: some of them may have been missed

export function verifyingSection(visit, record) {
  const outcome = element("div", {});
  const progress = element("div", {});
  const quick = element("input", { type: "checkbox" });
  const verify = element("button", { type: "button" }, "Verify here");
  verify.addEventListener("click", () =>
    attempt(verify, outcome, async () => {
      const { job } = await visit.post("verify", { claim: record.id, ...(quick.checked ? { quick: true } : {}) });
      follow(visit, job, progress);
      return `Queued as job ${job}.`;
    }),
  );
  return section(
    "Measure it on this machine",
    element("p", { class: "soft" }, "Its source runs in the sandbox in pairs with its base, with new seeds, until the evidence is clear. If it is confirmed here and better than this node's head, the node adopts it."),
    element("p", { class: "controls" }, verify, element("label", {}, quick, " quick: at most four pairs, which cannot confirm")),
    outcome,
    progress,
  );
}

// Shows a job as it goes on, until it is decided.
function follow(visit, number, place) {
  let isDone = false;
  const put = (job) => {
    if (job.job !== number || isDone) return;
    isDone = job.state === "done";
    refill(place, jobView(job));
    if (isDone) say(`decided: ${wording(job.verdict ?? "open").word}`);
  };
  visit.hear("job", put);
  const look = async () => {
    if (isDone) return;
    try {
      put(await visit.get(`jobs/${number}`));
    } catch (fault) {
      if (fault.name !== "AbortError") refill(place, faultText(fault));
    }
  };
  visit.every(POLL_MS, look);
  look();
}

function jobView({ state, pairs, share, verdict, gain, lower, upper, reason }) {
  const isDone = state === "done";
  const words = `${figures.share(share)} of the evidence after ${figures.many(pairs.length, "pair")}`;
  return element(
    "div",
    { class: "evidence" },
    verdict ? element("p", {}, badge(verdict), " ", wording(verdict).meaning) : null,
    isDone ? null : element("label", {}, "Evidence ", element("meter", { min: "0", max: "1", value: String(share ?? 0) }, words)),
    element("p", {}, words),
    reason ? element("p", { class: "soft" }, said(reason)) : null,
    pairsView(pairs, { gain, lower, upper }),
  );
}
