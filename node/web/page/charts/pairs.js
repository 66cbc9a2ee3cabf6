// The gains of pairs as points on an axis, with their common interval.

import { drawn, element } from "../dom.js";
import * as figures from "../figures.js";
import { pictureButton } from "./picture.js";

const WIDTH = 480;
const HEIGHT = 64;
const EDGE = 12;
const AXIS = 40;
const POINTS = 24;

// Returns +1 if a smaller metric is better, −1 if a greater one is, and 0 if no known
// gain shows the direction.
export function signOf(pairs, gain) {
  const total = pairs.filter(isWhole).reduce((sum, { base, candidate }) => sum + base - candidate, 0);
  return figures.isKnown(gain) ? Math.sign(gain) * Math.sign(total) : 0;
}

// `gains` are those of the pairs, at least one.
export function pairsPlot(gains, { gain, lower, upper }) {
  const shown = [...gains, gain, lower, upper, 0].filter(figures.isKnown);
  const [least, most] = [Math.min(...shown), Math.max(...shown)];
  const reach = most - least || 1;
  const x = (value) => (EDGE + ((value - least) / reach) * (WIDTH - 2 * EDGE)).toFixed(1);
  const words = `gains of ${figures.many(gains.length, "pair")} from ${figures.signed(Math.min(...gains))} to ${figures.signed(Math.max(...gains))}`;
  const plot = drawn(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": words },
    drawn("path", { class: "axis", d: `M${EDGE} ${AXIS}H${WIDTH - EDGE}` }),
    drawn("path", { class: "zero", d: `M${x(0)} 6V${HEIGHT - 6}` }),
    figures.isKnown(lower) && figures.isKnown(upper)
      ? drawn("path", { class: "interval", d: `M${x(lower)} ${AXIS}H${x(upper)}M${x(lower)} ${AXIS - 7}v14M${x(upper)} ${AXIS - 7}v14` })
      : null,
    figures.isKnown(gain) ? drawn("path", { class: "gain", d: `M${x(gain)} ${AXIS - 9}v18` }) : null,
    gains.map((one) => drawn("circle", { class: one > 0 ? "point up" : "point", cx: x(one), cy: String(POINTS), r: "4" })),
  );
  const caption = element("figcaption", {}, `${words}; the vertical line marks zero gain`);
  return element("figure", { class: "pairs" }, plot, element("div", { class: "below-plot" }, caption, pictureButton("Gains of pairs", () => plot)));
}

export const isWhole = ({ base, candidate }) => figures.isKnown(base) && figures.isKnown(candidate);

export function gainWords(gain, lower, upper, sd = null) {
  return figures.isKnown(gain) ? `gain ${figures.gain(gain, sd)}, ${figures.interval(lower, upper, sd)}` : "no gain measured yet";
}
