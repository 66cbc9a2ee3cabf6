// The variation of the score that each hyperparameter explains, and the gains at its values.

import { drawn, element, emptyState, plain, quoted, refill, section, skeleton, table } from "../dom.js";
import * as figures from "../figures.js";
import { fill } from "../visit.js";

const WIDTH = 240;
const HEIGHT = 90;
const EDGE = 8;

export async function show(visit) {
  const [found, kinds] = [element("div", {}), element("div", {})];
  visit.show(section("Hyperparameters", found), section("Kinds of change", kinds));
  refill(found, element("p", { class: "soft" }, "Computing the importance from all experiments, which takes some seconds …"), skeleton(3));
  await Promise.all([
    fill(kinds, async () => kindsView((await visit.get("kinds")).kinds)),
    fill(found, async () => importanceView(await visit.get("importance"))), // of the current line
  ]);
}

// How many patches of each kind were tried, kept and failed.
function kindsView(kinds) {
  if (kinds.length === 0) return emptyState("No change was tried yet", "The kinds of change that were tried and kept will be shown here.", "arnode start");
  const most = kinds[0].tried;
  const rows = kinds.map(({ kind, tried, kept, failed }) => [
    quoted(kind),
    element("meter", { min: "0", max: String(most), value: String(tried), "aria-label": `${tried} tried` }),
    String(tried),
    String(kept),
    String(failed),
  ]);
  return table("Kinds of change", [{ name: "kind" }, { name: "" }, ...["tried", "kept", "failed"].map((name) => ({ name, figure: true }))], rows);
}

function importanceView({ hyperparameters, explained }) {
  if (hyperparameters.length === 0) return emptyState("Too few hyperparameters were varied yet", "The part of the score's variation that each hyperparameter explains will be shown here, after some twenty experiments.");
  return [
    element("p", { class: "soft" }, `In a model of this node's experiments, single hyperparameters explain ${figures.share(explained)} of the variation of the score.`),
    element("ol", { class: "hyperparameters" }, hyperparameters.map(hyperparameterView)),
  ];
}

function hyperparameterView({ name, share, low, high, best, values }) {
  return element(
    "li",
    {},
    element("h3", {}, quoted(name)),
    element("label", {}, element("meter", { min: "0", max: "1", value: String(share ?? 0) }, figures.share(share)), ` explains ${figures.share(share)} (90 % interval ${figures.share(low)} to ${figures.share(high)})`),
    element("p", { class: "soft" }, "best value in the model: ", quoted(String(best))),
    effectPlot(name, values.map(({ value, gain_sd: gain }) => [value, gain])),
  );
}

// A plot of gain by value: numbers to scale, other values at equal distances.
function effectPlot(name, points) {
  const known = points.filter(([, gain]) => figures.isKnown(gain));
  if (known.length === 0) return null;
  const isNumeric = known.every(([value]) => typeof value === "number");
  const words = [...new Set(known.map(([value]) => String(value)))];
  const across = isNumeric ? scale(known.map(([value]) => value), EDGE, WIDTH - EDGE) : (value) => scale([0, Math.max(1, words.length - 1)], EDGE, WIDTH - EDGE)(words.indexOf(String(value)));
  const gains = known.map(([, gain]) => gain);
  const up = scale([...gains, 0], HEIGHT - EDGE, EDGE);
  const values = isNumeric ? `from ${Math.min(...known.map(([value]) => value))} to ${Math.max(...known.map(([value]) => value))}` : words.join(", ");
  const caption = `gains between ${Math.min(...gains).toFixed(1)} and ${Math.max(...gains).toFixed(1)} sd at values ${values}`;
  return element(
    "figure",
    { class: "effect" },
    drawn(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": plain(`${name}: ${caption}`) },
      drawn("path", { class: "axis", d: `M0 ${up(0)}H${WIDTH}` }),
      known.map(([value, gain]) => drawn("circle", { class: gain > 0 ? "point up" : "point", cx: across(value), cy: up(gain), r: "2.6" })),
    ),
    element("figcaption", {}, quoted(caption)),
  );
}

function scale(values, from, to) {
  const least = Math.min(...values);
  const reach = Math.max(...values) - least || 1;
  return (value) => (from + ((value - least) / reach) * (to - from)).toFixed(1);
}
