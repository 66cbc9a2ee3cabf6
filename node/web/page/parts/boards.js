// The list of leaderboards, one for each task and hardware class.

import { segment } from "../api.js";
import { element, emptyState, link, plain, quoted, table, term } from "../dom.js";

export const title = "Leaderboards";
const RANKS = "A leaderboard ranks the claims on one task and hardware class. What authors claim, what peers measured and what this node measured stay apart.";

export async function show(visit) {
  const { boards } = await visit.get("boards");
  if (boards.length === 0) {
    const begins = "It begins with the first gain that a node confirms in a promotion trial.";
    visit.show(emptyState("No leaderboard yet", `${RANKS} ${begins}`, visit.kind === "bootstrap" ? null : "arnode start"));
    return;
  }
  const isCounted = boards.some(({ rows }) => rows !== null); // the node counts claims when it shows them
  const rows = boards.map((one) => [
    link(boardPath(one), quoted(one.task.name)),
    plain(one.class),
    quoted(one.network),
    ...(isCounted ? [one.rows?.toLocaleString() ?? ""] : []),
  ]);
  const columns = [{ name: "task" }, { name: "hardware class" }, { name: "network" }, ...(isCounted ? [{ name: "claims", figure: true }] : [])];
  visit.show(
    element("p", { class: "soft" }, "A ", term("leaderboard"), RANKS.slice("A leaderboard".length)),
    table("Leaderboards", columns, rows),
  );
}

const boardPath = ({ task, class: hardware, network }) =>
  `boards/${segment(task.id)}/${segment(hardware)}?network=${segment(network)}`;
