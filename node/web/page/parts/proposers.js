// The proposers with their share of the experiments, their results and costs. Also the aim that a
// planning model sets for them.

import { element, quoted, quotedLines, section, table } from "../dom.js";
import * as figures from "../figures.js";

const COLUMNS = [
  { name: "proposer" },
  { name: "share", figure: true },
  { name: "experiments", figure: true },
  { name: "gain per device hour", figure: true },
  { name: "device time", figure: true },
  { name: "cost", figure: true },
  { name: "waiting" },
];

// `line` is the line's entry in the node's status. Returns null for a single proposer.
export function proposersView({ proposers = [] }) {
  if (proposers.length < 2) return null;
  return section(
    "Proposers",
    table("Proposers", COLUMNS, proposers.map(rowOf)),
    element("p", { class: "soft" }, "Shares are of the latest 100 experiments, the other columns of the latest 1,000. The gain is that of kept patches, measured in new runs or an ablation, in standard deviations (sd) of one run."),
  );
}

// `line` is the line's entry in the node's status. Returns null if no model plans.
export function plannerView({ planner = null }) {
  if (planner === null) return null;
  const { aim, model, written, waiting } = planner;
  return section(
    "Aim of the proposers",
    aim === null ? element("p", { class: "soft" }, "No aim is set.") : quotedLines(aim, { isProse: true }),
    element(
      "p",
      { class: "soft" },
      "Planned by ", quoted(model), written === null ? "" : `, ${figures.time(written * 1000)}`, ".",
      waiting === null ? "" : [" Planning is paused: ", quoted(waiting)],
    ),
  );
}

function rowOf({ name, share, slots, gain_per_hour: rate, device_hours: hours, usd, waiting }) {
  return [
    quoted(name),
    figures.share(share),
    slots.toLocaleString(),
    figures.deviations(rate),
    figures.span(hours * figures.HOUR_S),
    `$${usd.toFixed(4)}`,
    waiting === null ? "–" : quoted(waiting),
  ];
}
