// The choice of the line (task and hardware class) that a view shows.

import { append, element, plain, quoted } from "./dom.js";
import { withQuery } from "./api.js";
import { fill } from "./visit.js";

const CHOSEN = "arnode.line";

const MARKS = { self: " (self-scored)", model: " (scored by a model)", public: " (public instances)" };

const keyOf = (line) => `${line.task.id}/${line.class}`;

// Reads the node's lines. Shows the line chosen last, else the first one that is running.
export async function chosenLine(visit) {
  const status = await visit.get("status");
  const lines = status.lines ?? [];
  const wanted = sessionStorage.getItem(CHOSEN);
  const line =
    lines.find((one) => keyOf(one) === wanted) ?? lines.find((one) => one.now !== null) ?? lines[0] ?? null;
  return { status, lines, line };
}

export const ofLine = (path, line, more = {}) => withQuery(path, { task: line.task.id, class: line.class, ...more });

const named = (line) => `${plain(line.task.name)}${MARKS[line.scoring] ?? ""} on ${plain(line.class)}`;

// Returns the noise of an experiment's metric, one sd of a run; null if it is unknown.
export function noiseOf({ experiment }, { lines }) {
  const line = (lines ?? []).find((one) => one.task.id === experiment.task && one.class === experiment.class);
  return line?.noise_sd ?? null;
}

// Shows the chosen line's view below a menu of lines: `made(line)` loads it, `nothing()` is shown without
// any line.
export async function showLine(visit, nothing, made) {
  const { lines, line } = await chosenLine(visit);
  if (line === null) {
    visit.show(nothing());
    return;
  }
  const place = element("div", {});
  visit.show(lineChooser(lines, line), place);
  await fill(place, () => made(line));
}

// Shows the present view again.
export const again = () => dispatchEvent(new Event("hashchange"));

// A menu of several lines, or the name of the only one. A choice shows the view again.
export function lineChooser(lines, line) {
  if (lines.length < 2) return element("p", { class: "soft" }, quoted(named(line)));
  const select = element(
    "select",
    {
      on: {
        change: () => {
          sessionStorage.setItem(CHOSEN, select.value);
          again();
        },
      },
    },
    lines.map((one) => element("option", { value: keyOf(one), selected: one === line }, named(one))),
  );
  return append(element("label", { class: "field" }, "Task and hardware "), select);
}
