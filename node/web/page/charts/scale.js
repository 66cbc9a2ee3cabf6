// The vertical axis of a line's progress: its title and the range that it shows.

import { plain } from "../dom.js";
import * as figures from "../figures.js";

const MARGIN = 0.25; // shown above and below, as a fraction of the range of both step curves
const STRIP = 0.07; // fraction of the height, for experiments without a score
const FITTED = new Set(["kept", "adopted", "unconfirmed", "overfit", "baseline"]);

export const betterWords = ({ direction }) => (direction === "max" ? "higher is better" : "lower is better");

export function axisTitle(metric) {
  const { name, unit } = metric;
  return `${plain(name || unit)}${name && unit && name !== unit ? ` (${plain(unit)})` : ""}, ${betterWords(metric)}`;
}

// Returns the range that fits both step curves and the FITTED experiments, with a margin.
export function scaleOf({ points }) {
  const values = [...points.head, ...points.working].filter(figures.isKnown);
  points.metric.forEach((value, at) => {
    if (figures.isKnown(value) && FITTED.has(points.decision[at])) values.push(value);
  });
  if (values.length === 0) values.push(...points.metric.filter(figures.isKnown));
  const least = values.reduce((one, other) => Math.min(one, other), Infinity);
  const most = values.reduce((one, other) => Math.max(one, other), -Infinity);
  const [from, to] = values.length > 0 ? [least, most] : [0, 1];
  const margin = MARGIN * (to - from) || 0.01 * Math.abs(to) || 1;
  const [low, high] = [from - margin, to + margin];
  const strip = points.metric.every(figures.isKnown) ? 0 : STRIP * (high - low);
  return {
    low,
    range: [low - strip, high],
    at: (value) => (figures.isKnown(value) ? Math.min(high, Math.max(low, value)) : low - strip / 2),
    shows: (value) => figures.isKnown(value) && value >= low && value <= high,
  };
}
