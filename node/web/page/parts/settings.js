// Settings: commands and notes to the node, and earlier notes.

import { element, marked, section } from "../dom.js";
import { fill } from "../visit.js";
import { controlsView } from "./controls.js";
import { hypothesesView } from "./hypotheses.js";
import { notesView } from "./notes.js";
import { programView } from "./program.js";
import { spendingView } from "./spending.js";

export const title = "Settings";
const READ_ONLY = "This token can only read. `arnode view` prints a link that can steer.";
const NOT_RUNNING = "No node is running, so nothing can be changed here. `arnode start` starts one.";

export async function show(visit) {
  const parts = [
    ["Pause and stop", controlsView],
    ["Notes to the proposers", notesView],
    ["Costs today", spendingView],
    ["Hypotheses", hypothesesView],
    ["Instructions (program.md)", programView],
  ];
  if (!visit.maySteer) visit.show(element("p", {}, marked(visit.kind === "node" ? READ_ONLY : NOT_RUNNING)));
  const filled = parts.map(([name, view]) => {
    const place = element("div", {});
    visit.show(section(name, place));
    return fill(place, () => view(visit));
  });
  await Promise.all(filled);
}
