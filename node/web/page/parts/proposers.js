// Who proposes, where several do: each one's share of the experiments, what it had kept, its cost.

import { element, said, section, table } from "../dom.js";
import * as figures from "../figures.js";

const COLUMNS = [
  { name: "proposer" },
  { name: "share", figure: true },
  { name: "experiments", figure: true },
  { name: "kept a device hour", figure: true },
  { name: "device time", figure: true },
  { name: "cost", figure: true },
  { name: "rests" },
];

// `line` is what the node's status says of it; null where nobody shares the experiments.
export function proposersView({ proposers = [] }) {
  if (proposers.length < 2) return null;
  return section(
    "Who proposes",
    table("Who proposes", COLUMNS, proposers.map(rowOf)),
    element("p", { class: "soft" }, "Shares are of the latest hundred experiments, all else of the latest thousand. What was kept counts by fresh runs or an ablation, in standard deviations (sd) of one run."),
  );
}

function rowOf({ name, share, slots, gain_per_hour: rate, device_hours: hours, usd, rests }) {
  return [
    said(name),
    figures.share(share),
    slots.toLocaleString(),
    figures.deviations(rate),
    figures.span(hours * figures.HOUR_S),
    `$${usd.toFixed(4)}`,
    rests === null ? "–" : said(rests),
  ];
}
