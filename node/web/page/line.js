// Which task and hardware class a part is about: what this node works on, and which of it is chosen.

import { append, element, plain, said } from "./dom.js";
import { asked } from "./api.js";

const CHOSEN = "arnode.line";

const MARKS = { self: " (self-scored)", model: " (scored by a model)", public: " (public instances)" };

const keyOf = (line) => `${line.task.id}/${line.class}`;

// Reads the node's lines; the one that is shown is the one chosen last, else the first that works.
export async function chosenLine(visit) {
  const status = await visit.get("status");
  const lines = status.lines ?? [];
  const wanted = sessionStorage.getItem(CHOSEN);
  const line =
    lines.find((one) => keyOf(one) === wanted) ?? lines.find((one) => one.now !== null) ?? lines[0] ?? null;
  return { status, lines, line };
}

export const ofLine = (path, line, more = {}) => asked(path, { task: line.task.id, class: line.class, ...more });

const named = (line) => `${plain(line.task.name)}${MARKS[line.scoring] ?? ""} on ${plain(line.class)}`;

// A choice between several lines, or what the only one is called.
export function lineChooser(lines, line, chosen) {
  if (lines.length < 2) return element("p", { class: "soft" }, said(named(line)));
  const select = element(
    "select",
    {
      on: {
        change: () => {
          sessionStorage.setItem(CHOSEN, select.value);
          chosen();
        },
      },
    },
    lines.map((one) => element("option", { value: keyOf(one), selected: one === line }, named(one))),
  );
  return append(element("label", { class: "field" }, "Task and hardware "), select);
}

// What a part says where there is no line to show.
export function noLine() {
  return element("p", {}, "Nothing was measured here yet. The first runs measure the task's baseline.");
}
