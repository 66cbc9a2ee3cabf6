// The variation of the score that each hyperparameter explains, and the gains at its values.

import { drawn, element, plain, quoted } from "../dom.js";
import * as figures from "../figures.js";

const WIDTH = 240;
const HEIGHT = 90;
const EDGE = 8;

export async function show(visit) {
  const { hyperparameters, explained } = await visit.get("importance"); // of the current line
  if (hyperparameters.length === 0) {
    visit.show(element("p", {}, "Too few hyperparameters were varied so far to show which ones matter."));
    return;
  }
  visit.show(
    element("p", { class: "soft" }, `In a model of this node's experiments, single hyperparameters explain ${figures.share(explained)} of the variation of the score.`),
    element("ol", { class: "hyperparameters" }, hyperparameters.map(hyperparameterView)),
  );
}

function hyperparameterView({ name, share, low, high, best, values }) {
  return element(
    "li",
    {},
    element("h2", {}, quoted(name)),
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
