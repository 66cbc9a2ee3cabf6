// The vertical axis of a line's progress: its title and the range that it shows. At first that is the
// recent progress, because the first large gains would flatten all later ones.

import { plain } from "../dom.js";
import * as figures from "../figures.js";

const MARGIN = 0.25; // shown above and below, as a fraction of the range of the fitted values
const STRIP = 0.07; // fraction of the height, for experiments without a score
const FITTED = new Set(["kept", "adopted", "unconfirmed", "overfit", "baseline"]);
const RECENT = 0.5; // the fraction of the line, from its start, that the first view may leave out
const LEAST_LEVELS = 3; // best scores that the first view has at least
const FLATTENED = 0.5; // the recent progress alone is shown if it has less than this share of the height

export const betterWords = ({ direction }) => (direction === "max" ? "higher is better" : "lower is better");

export function axisTitle(metric) {
  const { name, unit } = metric;
  return `${plain(name || unit)}${name && unit && name !== unit ? ` (${plain(unit)})` : ""}, ${betterWords(metric)}`;
}

// Returns the scale of a line's progress. At first it fits both step curves and the FITTED experiments, or
// only the recent progress if the whole would flatten it. `isWhole` fits every score.
export function scaleOf({ points, metric }, isWhole = false) {
  const all = [...points.head, ...points.working, ...points.metric].filter(figures.isKnown);
  const [low, high] = isWhole ? withMargin(all) : firstView(points, metric.direction);
  const strip = points.metric.every(figures.isKnown) ? 0 : STRIP * (high - low);
  const side = (value) => (!figures.isKnown(value) ? 0 : value > high ? 1 : value < low ? -1 : 0);
  return {
    low,
    range: [low - strip, high],
    mayZoom: isWhole || all.some((value) => side(value) !== 0),
    at: (value) => (figures.isKnown(value) ? Math.min(high, Math.max(low, value)) : low - strip / 2),
    shows: (value) => figures.isKnown(value) && side(value) === 0,
    side, // +1 above the range, −1 below it, else 0
  };
}

// Returns a sentence on what is outside the plot: the number of scores, and curves that end there.
export function outsideWords({ points, metric, head_words: headWords }, { side }) {
  const parts = [[1, "above (▲)"], [-1, "below (▼)"]].map(([sign, where]) => {
    const count = points.metric.filter((value) => side(value) === sign).length;
    const curves = [[headWords, points.head.at(-1)], ["working line", points.working.at(-1)]].filter(([, value]) => side(value) === sign);
    const named = [...(count > 0 ? [figures.many(count, "score")] : []), ...curves.map(([name, value]) => `the ${name} (${figures.rounded(value)} ${plain(metric.unit)})`)];
    return named.length > 0 ? `${named.join(" and ")} ${where}` : null;
  });
  const known = parts.filter(Boolean);
  return known.length > 0 ? `Outside the plot: ${known.join("; ")}. ` : "";
}

function firstView(points, direction) {
  const values = [...points.head, ...points.working].filter(figures.isKnown);
  points.metric.forEach((value, at) => {
    if (figures.isKnown(value) && FITTED.has(points.decision[at])) values.push(value);
  });
  const fitted = withMargin(values.length > 0 ? values : points.metric.filter(figures.isKnown));
  const recent = recentOf(points, direction);
  return recent !== null && recent[1] - recent[0] < FLATTENED * (fitted[1] - fitted[0]) ? recent : fitted;
}

function withMargin(values) {
  const [from, to] = values.length > 0 ? endsOf(values) : [0, 1];
  const margin = MARGIN * (to - from) || 0.01 * Math.abs(to) || 1;
  return [from - margin, to + margin];
}

// Returns the range of the best scores since the middle of the line, or earlier if that has fewer than
// LEAST_LEVELS of them; null if that is the whole line. The worse side has as much room again.
function recentOf({ head, working }, direction) {
  const best = head.map((value, at) => bestOf(value, working[at], direction));
  const levels = new Set();
  let since = best.length;
  while (since > 0 && (since > best.length * RECENT || levels.size < LEAST_LEVELS)) {
    since--;
    if (best[since] !== null) levels.add(best[since]);
  }
  if (since === 0) return null;
  const [from, to] = endsOf([...levels]);
  const [near, far] = [MARGIN * (to - from), to - from];
  return direction === "max" ? [from - far, to + near] : [from - near, to + far];
}

function bestOf(head, working, direction) {
  if (!figures.isKnown(head) || !figures.isKnown(working)) return head ?? working ?? null;
  return direction === "max" ? Math.max(head, working) : Math.min(head, working);
}

function endsOf(values) {
  return [values.reduce((one, other) => Math.min(one, other)), values.reduce((one, other) => Math.max(one, other))];
}
