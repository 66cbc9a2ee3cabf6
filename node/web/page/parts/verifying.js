// *Verify here*: re-runs a claim on this machine and shows each pair.

import { element, refill, quoted, section } from "../dom.js";
import * as figures from "../figures.js";
import { attempt, faultText, announce } from "../visit.js";
import { badge, wording } from "../words.js";
import { pairsView } from "./pairs.js";

const POLL_MS = 10_000; // in addition to events, some of which may be missed

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
    element("p", { class: "soft" }, "The node runs the claim's source and its base in pairs with new seeds, in the sandbox, until the evidence is clear. If the gain is confirmed and the source is better than this node's verified head, the node adopts it."),
    element("p", { class: "controls" }, verify, element("label", {}, quick, " quick: at most four pairs, too few to confirm a gain")),
    outcome,
    progress,
  );
}

// Shows the progress of a job until its verdict.
function follow(visit, number, place) {
  let isDone = false;
  const put = (job) => {
    if (job.job !== number || isDone) return;
    isDone = job.state === "done";
    refill(place, jobView(job));
    if (isDone) announce(`decided: ${wording(job.verdict ?? "open").word}`);
  };
  visit.on("job", put);
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
    reason ? element("p", { class: "soft" }, quoted(reason)) : null,
    pairsView(pairs, { gain, lower, upper }),
  );
}
