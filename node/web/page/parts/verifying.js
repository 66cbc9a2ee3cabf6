// *Verify here*: re-runs a claim on this machine, after it was confirmed in a dialog with the cost.

import { element, refill, quoted, section } from "../dom.js";
import * as figures from "../figures.js";
import { attempt, fill, announce } from "../visit.js";
import { badge, wording } from "../words.js";
import { pairsView } from "./pairs.js";

const POLL_MS = 10_000; // in addition to events, some of which may be missed
const UNKNOWN = "time unknown until the first run here";

// The section of a claim's page. `costs` returns the document of its leaderboard, which has the costs.
export function verifyingSection(visit, record, costs) {
  const outcome = element("div", {});
  const progress = element("div", {});
  const button = element("div", {});
  const queued = (job) => {
    refill(outcome, element("p", { role: "status" }, `Queued as job ${job}.`));
    follow(visit, job, (known) => refill(progress, jobView(known)));
  };
  fill(button, async () => {
    const data = await costs();
    const open = data.open_reruns[record.id];
    if (open !== undefined) queued(open);
    const start = () => askToVerify(visit, { claim: record.id, title: null, data, queued });
    return element("p", { class: "controls" }, element("button", { type: "button", on: { click: start } }, "Verify here …"), element("span", { class: "soft" }, costText(data.verify)));
  });
  return section(
    "Measure it on this machine",
    element("p", { class: "soft" }, "The node runs the claim's source and its base in pairs with new seeds, in the sandbox, until the evidence is clear. If the gain is confirmed and the source is better than this node's verified head, the node adopts it."),
    button,
    outcome,
    progress,
  );
}

// The buttons *Verify* of a leaderboard's rows, and the states of the jobs that they started.
export class Verifying {
  onVerdict = () => {};
  #visit;
  #data = null;
  #jobs = new Map(); // by claim: the job's last known state
  #cells = new Map(); // by claim: the cell of the row that is shown
  #followed = new Set();

  constructor(visit) {
    this.#visit = visit;
    visit.on("job", (job) => {
      if (job.target !== null && this.#cells.has(job.target)) this.#follow(job.target, job.job);
    });
  }

  // Takes the costs and open jobs of a leaderboard's document.
  put(data) {
    this.#data = data;
    for (const [claim, job] of Object.entries(data.open_reruns)) this.#follow(claim, job);
  }

  cell({ result, title }) {
    const cell = element("div", { class: "verify-cell" });
    this.#cells.set(result, cell);
    this.#fill(result, title);
    return cell;
  }

  #follow(claim, number) {
    if (this.#followed.has(number)) return;
    this.#followed.add(number);
    follow(this.#visit, number, (job) => {
      this.#jobs.set(claim, job);
      this.#fill(claim, null);
      if (job.state === "done") this.onVerdict();
    });
  }

  #fill(claim, title) {
    const cell = this.#cells.get(claim);
    if (cell === undefined) return;
    const job = this.#jobs.get(claim);
    if (job) {
      const words = job.pairs.length > 0 ? `${figures.many(job.pairs.length, "pair")}, ${figures.share(job.share)}` : "queued";
      const state = job.state === "done" ? badge(job.verdict ?? "open") : element("span", { class: "badge working" }, "re-running");
      refill(cell, state, element("span", { class: "more" }, job.state === "done" ? figures.many(job.pairs.length, "pair") : words));
      return;
    }
    const start = () => askToVerify(this.#visit, { claim, title, data: this.#data, queued: (number) => this.#follow(claim, number) });
    const button = element("button", { type: "button", class: "quiet", "aria-label": `Verify ${figures.short(claim)} here`, on: { click: start } }, "Verify …");
    refill(cell, button, element("span", { class: "more", title: costText(this.#data.verify) }, this.#data.verify.time?.split(", ")[0] ?? "time unknown"));
  }
}

// Shows a dialog with the cost, and starts the re-run when it is confirmed.
function askToVerify(visit, { claim, title, data, queued }) {
  const outcome = element("div", {});
  const quick = element("input", { type: "checkbox" });
  const cost = element("strong", {}, costText(data.verify));
  quick.addEventListener("change", () => refill(cost, costText(quick.checked ? data.verify_quick : data.verify)));
  const verify = element("button", { type: "button" }, "Verify here");
  const back = element("button", { type: "button", class: "quiet", on: { click: () => dialog.close() } }, "Cancel");
  const dialog = element(
    "dialog",
    { class: "ask", "aria-labelledby": "verify-title", on: { close: () => dialog.remove() } },
    element("h2", { id: "verify-title" }, "Verify it on this machine?"),
    element("p", {}, title === null ? null : [quoted(title), " "], element("code", {}, figures.short(claim))),
    element("p", {}, cost, "."),
    element("p", { class: "soft" }, "The author's code runs only in the sandbox. Your own research pauses meanwhile. The node signs the verdict, whatever it is."),
    element("p", {}, element("label", {}, quick, " quick: at most four pairs, too few to confirm a gain")),
    outcome,
    element("p", { class: "controls" }, verify, back),
  );
  verify.addEventListener("click", () =>
    attempt(verify, outcome, async () => {
      const { job } = await visit.post("verify", { claim, ...(quick.checked ? { quick: true } : {}) });
      dialog.close();
      announce(`Queued as job ${job}.`);
      queued(job);
    }),
  );
  visit.signal.addEventListener("abort", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

function costText({ pairs, most_pairs: most, time }) {
  const usual = pairs < most ? `about ${figures.rounded(pairs)} pairs, at most ${most}` : `at most ${most} pairs`;
  return `${usual}; ${time ?? UNKNOWN}`;
}

// Calls `put` with each new state of a job until its verdict.
function follow(visit, number, put) {
  let isDone = false;
  const take = (job) => {
    if (job.job !== number || isDone) return;
    isDone = job.state === "done";
    put(job);
    if (isDone) announce(`decided: ${wording(job.verdict ?? "open").word}`);
  };
  visit.on("job", take);
  const look = async () => {
    if (isDone) return;
    try {
      take(await visit.get(`jobs/${number}`));
    } catch (fault) {
      if (fault.name !== "AbortError") announce(fault.message);
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
