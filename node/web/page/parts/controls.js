// Pause, resume and stop, with the node's current activity.

import { append, element, marked, plain, refill } from "../dom.js";
import { stateOf } from "../standing.js";
import { attempt } from "../visit.js";

const SPANS = [["", "until resumed"], ["1800", "for 30 minutes"], ["3600", "for an hour"], ["14400", "for 4 hours"], ["28800", "for 8 hours"]];

export async function controlsView(visit) {
  const standing = element("p", {});
  const show = (now) => refill(standing, standingWords(now));
  visit.on("now", (data) => show("now" in data ? data.now : data));
  show((await visit.get("now")).now);
  if (!visit.maySteer) return standing;
  const outcome = element("div", {});
  return [standing, pausing(visit, outcome), stopping(visit, outcome), outcome];
}

function standingWords(now) {
  if (now === null) return "No node is running in this home.";
  const { word, kind } = stateOf(now);
  const state = element("strong", {}, word[0].toUpperCase() + word.slice(1));
  return kind === "paused" ? [state, "."] : [state, `: ${plain(now.text)}.`];
}

function pausing(visit, outcome) {
  const span = element("select", {}, SPANS.map(([value, words]) => element("option", { value }, words)));
  const atEnd = element("input", { type: "checkbox" });
  const pause = element("button", { type: "button" }, "Pause");
  const resume = element("button", { type: "button", class: "quiet" }, "Resume");
  pause.addEventListener("click", () =>
    attempt(pause, outcome, async () => {
      const wanted = span.value ? { for_s: Number(span.value) } : {};
      await visit.post("pause", { ...wanted, at_end: atEnd.checked });
      return "Paused.";
    }),
  );
  resume.addEventListener("click", () =>
    attempt(resume, outcome, async () => {
      await visit.post("resume");
      return "Resumed.";
    }),
  );
  const row = element("p", { class: "controls" }, pause);
  return append(row, element("label", { class: "field" }, "How long", span), element("label", {}, atEnd, " after the current run"), resume);
}

// Stopping needs a confirmation, because the page cannot start the node again.
function stopping(visit, outcome) {
  const afterTrial = element("input", { type: "checkbox" });
  const dialog = element("dialog", { "aria-labelledby": "stop-title" });
  const sure = element("button", { type: "button", class: "grave" }, "Stop the node");
  const back = element("button", { type: "button", class: "quiet", on: { click: () => dialog.close() } }, "Leave it running");
  append(dialog, element("h2", { id: "stop-title" }, "Stop the node?"), element("p", {}, marked("Nothing is lost. This page cannot start the node again; run `arnode start` on its machine.")), element("p", { class: "controls" }, sure, back));
  const stop = element("button", { type: "button", class: "grave", on: { click: () => dialog.showModal() } }, "Stop …");
  sure.addEventListener("click", () => {
    dialog.close();
    attempt(stop, outcome, async () => {
      await visit.post("stop", { after_promotion_trial: afterTrial.checked });
      return afterTrial.checked ? "The node stops after the promotion trial of the working line." : "The node stops after the current run.";
    });
  });
  return element("p", { class: "controls" }, stop, element("label", {}, afterTrial, " after a promotion trial of the working line"), dialog);
}
