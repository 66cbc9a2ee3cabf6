// The interval of a gain as a small bar, from the lower bound to the gain.

import { drawn } from "../dom.js";
import * as figures from "../figures.js";

const WIDTH = 100;
const HEIGHT = 10;
const EDGE = 3; // room for an arrow at each end
const LEAST = 1.5; // the width of a bar whose ends coincide

// Returns a bar on `scale`, [lowest, highest], which is the same for all rows. What is beyond the scale is
// cut and ends in an arrow. `kind` is the kind of evidence, whose colour and name it has.
export function gainBar(kind, { gain, lower, noise, scale }) {
  const [low, high] = scale;
  if (!figures.isKnown(gain) || !(high > low)) return null;
  const at = (value) => EDGE + ((WIDTH - 2 * EDGE) * (Math.min(high, Math.max(low, value)) - low)) / (high - low);
  const from = figures.isKnown(lower) ? Math.min(lower, gain) : gain;
  const words = `${kind}: gain ${figures.gain(gain, noise)}${figures.isKnown(lower) ? `, at least ${figures.signed(lower, noise)}` : ""}`;
  const zero = at(0);
  return drawn(
    "svg",
    { class: `gain-bar ${kind}`, viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": words },
    drawn("title", {}, words),
    drawn("line", { class: "zero", x1: zero, x2: zero, y1: 0, y2: HEIGHT }),
    drawn("rect", { class: "interval", x: at(from), y: 3, width: Math.max(LEAST, at(gain) - at(from)), height: 4 }),
    gain > high || gain < low ? null : drawn("rect", { class: "gain", x: at(gain) - LEAST / 2, y: 0, width: LEAST, height: HEIGHT }),
    gain > high ? drawn("path", { class: "interval", d: `M${WIDTH - EDGE} 0L${WIDTH} 5L${WIDTH - EDGE} 10Z` }) : null,
    from < low ? drawn("path", { class: "interval", d: `M${EDGE} 0L0 5L${EDGE} 10Z` }) : null,
  );
}
