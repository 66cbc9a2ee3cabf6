// Pairs of an experiment, a claim or a current trial, as a plot and a table.

import { gainWords, isWhole, pairsPlot, signOf } from "../charts/pairs.js";
import { element, section, table } from "../dom.js";
import * as figures from "../figures.js";

const COLUMNS = ["seed", "base", "candidate"].map((name) => ({ name, figure: true }));

// Without a gain the better direction is unknown, so only the table is shown.
export function pairsView(pairs, { gain, lower, upper, sd = null } = {}) {
  const whole = pairs.filter(isWhole);
  if (whole.length === 0) return element("p", { class: "soft" }, "No pair is complete yet.");
  const sign = signOf(whole, gain);
  const gains = whole.map(({ base, candidate }) => (sign || 1) * (base - candidate));
  const rows = whole.map(({ seed, base, candidate }, at) => [
    String(seed),
    figures.metric(base, sd),
    figures.metric(candidate, sd),
    figures.signed(gains[at], sd),
  ]);
  const columns = [...COLUMNS, { name: sign === 0 ? "base − candidate" : "gain", figure: true }];
  const listed = table("Pairs of runs, one seed each", columns, rows);
  if (sign === 0) return listed;
  return element(
    "div",
    {},
    element("p", {}, gainWords(gain, lower, upper, sd)),
    pairsPlot(gains, { gain, lower, upper }),
    element("details", {}, element("summary", {}, figures.many(whole.length, "pair")), listed),
  );
}

export function pairsSection(pairs, measured) {
  return pairs.length > 0 ? section("Pairs", pairsView(pairs, measured)) : null;
}
