// The owner's note on an experiment, which later prompts quote.

import { element, quotedLines, refill } from "../dom.js";
import * as figures from "../figures.js";
import { attempt } from "../visit.js";

const MOST = 1_000; // characters

export function noteView(visit, experiment, note) {
  const place = element("div", {});
  const fill = (note) => refill(place, shown(note), mayWrite(visit) ? form(visit, experiment, note, fill) : null);
  fill(note);
  return place;
}

// There is nobody to take a note while no node runs.
export const mayWrite = (visit) => visit.maySteer && visit.kind === "node";

function shown(note) {
  if (!note) return null;
  const leave = note.leave ? element("span", { class: "badge" }, "leave alone") : null;
  return element("div", {}, element("p", { class: "soft" }, figures.time(note.ts), " ", leave), note.text ? quotedLines(note.text, { isProse: true }) : null);
}

function form(visit, experiment, note, fill) {
  const outcome = element("div", {});
  const text = element("textarea", { rows: "2", maxlength: String(MOST), placeholder: "what to learn from it, or what to avoid" });
  text.value = note?.text ?? "";
  const leave = element("input", { type: "checkbox" });
  leave.checked = note?.leave ?? false;
  const button = element("button", {}, "Save");
  const submit = (event) => {
    event.preventDefault();
    attempt(button, outcome, async () => {
      const written = text.value.trim();
      const { ts } = await visit.post("notes", { text: written, experiment, leave: leave.checked });
      const isEmpty = written === "" && !leave.checked;
      fill(isEmpty ? null : { ts, text: written, leave: leave.checked });
      visit.place.querySelector(".owner-note textarea")?.focus();
    });
  };
  return element(
    "form",
    { class: "owner-note", on: { submit } },
    element("label", { class: "field tall" }, note ? "Change your note" : "Write a note", text),
    element("p", {}, element("label", {}, leave, " Leave this change alone")),
    element("p", { class: "soft" }, "Language models and coding agents read your note in the next prompt. The built-in search reads only the tick: it does not change the same hyperparameters, or make the same move, again. A note stays on this machine."),
    element("p", { class: "controls" }, button),
    outcome,
  );
}
