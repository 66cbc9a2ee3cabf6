// Notes to the proposers. The next prompt quotes them, and the journal contains them.

import { element, link, refill, quotedLines } from "../dom.js";
import * as figures from "../figures.js";
import { attempt, faultText } from "../visit.js";

const MOST = 1_000; // characters

const READERS = () => element("p", { class: "soft" }, "Language models and coding agents read these notes for a day. The built-in search reads none of them.");

export async function notesView(visit) {
  const list = element("div", {});
  const read = async () => refill(list, listView((await visit.get("notes")).notes));
  visit.on("notes", () => read().catch((fault) => refill(list, faultText(fault))));
  await read();
  return [READERS(), visit.maySteer ? form(visit, read) : null, list];
}

function form(visit, read) {
  const outcome = element("div", {});
  const text = element("textarea", { rows: "3", maxlength: String(MOST), required: true, placeholder: "what to try or to avoid" });
  const button = element("button", {}, "Send");
  const submit = (event) => {
    event.preventDefault();
    attempt(button, outcome, async () => {
      await visit.post("notes", { text: text.value });
      text.value = "";
      await read();
      return "Sent. The next prompt quotes it.";
    });
  };
  return element("form", { on: { submit } }, element("label", { class: "field tall" }, "A note", text), element("p", { class: "controls" }, button), outcome);
}

function listView(notes) {
  if (notes.length === 0) return element("p", { class: "soft" }, "No notes yet.");
  const item = ({ ts, text, experiment, leave }) =>
    element("li", {}, element("p", { class: "soft" }, figures.time(ts), experiment ? [" · on experiment ", link(`experiments/${experiment}`, figures.short(experiment))] : null, leave ? " · leave this change alone" : null), text ? quotedLines(text, { isProse: true }) : null);
  const newestFirst = [...notes].sort((one, other) => other.ts - one.ts);
  return element("ol", { class: "plain-list quoted-list" }, newestFirst.map(item));
}
