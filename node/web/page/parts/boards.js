// The list of leaderboards, one for each task and hardware class.

import { segment } from "../api.js";
import { element, link, plain, quoted, table } from "../dom.js";

export const title = "Leaderboards";

export async function show(visit) {
  const { boards } = await visit.get("boards");
  if (boards.length === 0) {
    visit.show(element("p", {}, "No leaderboard yet: a node makes one when its first promotion trial passes."));
    return;
  }
  const rows = boards.map((one) => [
    link(boardPath(one), quoted(one.task.name)),
    plain(one.class),
    quoted(one.network),
    one.rows === null ? "" : one.rows.toLocaleString(),
  ]);
  const columns = [{ name: "task" }, { name: "hardware class" }, { name: "network" }, { name: "rows", figure: true }];
  visit.show(
    element("p", { class: "soft" }, "A leaderboard ranks the claims on one task and hardware class. It has separate columns for what authors claim, what others measured and what this node measured."),
    table("Leaderboards", columns, rows),
  );
}

const boardPath = ({ task, class: hardware, network }) =>
  `boards/${segment(task.id)}/${segment(hardware)}?network=${segment(network)}`;
