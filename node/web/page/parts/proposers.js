// Who proposes, where several do: each one's share of the experiments, what it had kept, its cost.
// What they are to aim at, where a model plans.

import { element, said, saidInLines, section, table } from "../dom.js";
import * as figures from "../figures.js";

const COLUMNS = [
  { name: "proposer" },
  { name: "share", figure: true },
  { name: "experiments", figure: true },
  { name: "kept a device hour", figure: true },
  { name: "device time", figure: true },
  { name: "cost", figure: true },
  { name: "waiting" },
];

// `line` is what the node's status says of it; null where nobody shares the experiments.
export function proposersView({ proposers = [] }) {
  if (proposers.length < 2) return null;
  return section(
    "Proposers",
    table("Proposers", COLUMNS, proposers.map(rowOf)),
    element("p", { class: "soft" }, "Shares are of the latest 100 experiments, the other columns of the latest 1,000. Gains of kept patches were measured by new runs or an ablation, in standard deviations (sd) of one run."),
  );
}

// `line` is what the node's status says of it; null where no model plans.
export function plannerView({ planner = null }) {
  if (planner === null) return null;
  const { aim, model, written, waiting } = planner;
  return section(
    "Aim of the proposers",
    aim === null ? element("p", { class: "soft" }, "No aim is set.") : saidInLines(aim, { isProse: true }),
    element(
      "p",
      { class: "soft" },
      "Planned by ", said(model), written === null ? "" : `, ${figures.time(written * 1000)}`, ".",
      waiting === null ? "" : [" It is pausing: ", said(waiting)],
    ),
  );
}

function rowOf({ name, share, slots, gain_per_hour: rate, device_hours: hours, usd, waiting }) {
  return [
    said(name),
    figures.share(share),
    slots.toLocaleString(),
    figures.deviations(rate),
    figures.span(hours * figures.HOUR_S),
    `$${usd.toFixed(4)}`,
    waiting === null ? "–" : said(waiting),
  ];
}
