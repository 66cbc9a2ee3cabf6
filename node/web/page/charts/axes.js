// Axes of hyperparameters and metrics. Numbers are on a linear or logarithmic scale, other values at
// equal distances. A value's place is between 0 and 1.

import { plain } from "../dom.js";
import * as figures from "../figures.js";

const WIDE = 50; // a larger quotient of positive numbers makes the scale logarithmic
const TICKS = 5;
const MOST_WORDS = 12; // values that are not numbers; the last place is for all others
const OTHER = "other values";
const MARGIN = 0.08; // empty space at both ends of a scale of words

// Returns the axis of some values: numbers, texts or null.
export function axisOf(name, values) {
  const known = values.filter((one) => one !== null);
  const isNumeric = known.length > 0 && known.every((one) => typeof one === "number" && Number.isFinite(one));
  return isNumeric ? numberAxis(name, known) : wordAxis(name, known);
}

function numberAxis(name, known) {
  const low = known.reduce((one, other) => Math.min(one, other));
  const high = known.reduce((one, other) => Math.max(one, other));
  const isLog = low > 0 && high / low > WIDE;
  const [to, from] = isLog ? [Math.log10, (one) => 10 ** one] : [(one) => one, (one) => one];
  const [least, most] = low === high ? [to(low) - (isLog ? 0.5 : Math.abs(low) / 2 || 0.5), to(high) + (isLog ? 0.5 : Math.abs(high) / 2 || 0.5)] : [to(low), to(high)];
  const at = (value) => (typeof value === "number" && (!isLog || value > 0) ? (to(value) - least) / (most - least) : null);
  const valueAt = (place) => from(least + place * (most - least));
  const ticks = low === high ? [low] : isLog ? powers(low, high) : steps(low, high);
  return { name, isNumeric: true, isLog, at, valueAt, ticks: ticks.map((value) => ({ place: at(value), words: figures.rounded(value) })), words: figures.rounded };
}

function wordAxis(name, known) {
  const counts = new Map();
  for (const one of known) counts.set(String(one), (counts.get(String(one)) ?? 0) + 1);
  const frequent = [...counts].sort(([, one], [, other]) => other - one).map(([word]) => word);
  const listed = frequent.length > MOST_WORDS ? [...frequent.slice(0, MOST_WORDS - 1).sort(), OTHER] : frequent.sort();
  const hasOther = frequent.length > MOST_WORDS;
  const places = new Map(listed.map((word, at) => [word, listed.length === 1 ? 0.5 : MARGIN + ((1 - 2 * MARGIN) * at) / (listed.length - 1)]));
  const at = (value) => (value === null ? null : (places.get(String(value)) ?? (hasOther ? places.get(OTHER) : null)));
  return { name, isNumeric: false, isLog: false, at, valueAt: null, ticks: listed.map((word) => ({ place: places.get(word), words: plain(word) })), words: (value) => plain(String(value)) };
}

// Round numbers between two ends, about TICKS of them.
function steps(low, high) {
  const rough = (high - low) / TICKS;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
  const found = [];
  for (let number = Math.ceil(low / step - 1e-9); number * step <= high + step * 1e-9; number++) found.push(Number((number * step).toPrecision(12)));
  return found;
}

function powers(low, high) {
  const [first, last] = [Math.ceil(Math.log10(low) - 1e-9), Math.floor(Math.log10(high) + 1e-9)];
  const every = Math.max(1, Math.ceil((last - first) / TICKS));
  const found = [];
  for (let exponent = first; exponent <= last; exponent += every) found.push(10 ** exponent);
  return found.length > 1 ? found : [low, high];
}

// Returns the range of scores to show. Rare, far worse scores are left out; they are drawn at its edge.
export function rangeOf(metrics, direction) {
  const known = metrics.filter(figures.isKnown).sort((one, other) => one - other);
  if (known.length === 0) return [0, 1];
  const at = (share) => known[Math.round(share * (known.length - 1))];
  const spread = Math.max(at(0.75) - at(0.25), Math.abs(at(0.5)) * 1e-6);
  const [low, high] = direction === "max" ? [Math.max(known[0], at(0.25) - 3 * spread), known.at(-1)] : [known[0], Math.min(known.at(-1), at(0.75) + 3 * spread)];
  const margin = 0.06 * (high - low) || Math.abs(high) * 0.01 || 1;
  return [low - margin, high + margin];
}
