// Boards: which there are, a task and hardware class each.

import { segment } from "../api.js";
import { element, link, plain, said, table } from "../dom.js";

export const title = "Boards";

export async function show(visit) {
  const { boards } = await visit.get("boards");
  if (boards.length === 0) {
    visit.show(element("p", {}, "No board yet: a node makes one with its first checkpoint that confirms."));
    return;
  }
  const rows = boards.map((one) => [
    link(boardPath(one), said(one.task.name)),
    plain(one.class),
    said(one.network),
    one.rows === null ? "" : one.rows.toLocaleString(),
  ]);
  const columns = [{ name: "task" }, { name: "hardware class" }, { name: "network" }, { name: "rows", figure: true }];
  visit.show(
    element("p", { class: "soft" }, "A board ranks what was claimed of a task on one class of hardware. What an author claims, what others say and what was measured here stand in columns of their own and are never mixed."),
    table("Boards", columns, rows),
  );
}

const boardPath = ({ task, class: hardware, network }) =>
  `boards/${segment(task.id)}/${segment(hardware)}?network=${segment(network)}`;
