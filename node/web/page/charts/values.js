// Scales for plots of values: numbers (logarithmic if they span much) or words at equal distances.

const TICKS = 5;
const WIDE = 50; // a ratio of the largest to the smallest value that calls for a logarithm

// Returns {at(value), ticks: [[text, position]]} from `from` to `to` in pixels.
export function valueScale(values, from, to, { isLinear = false } = {}) {
  return values.every((one) => typeof one === "number") ? ofNumbers(values, from, to, isLinear) : ofWords(values, from, to);
}

function ofNumbers(values, from, to, isLinear) {
  const low = values.reduce((one, other) => Math.min(one, other), Infinity);
  const high = values.reduce((one, other) => Math.max(one, other), -Infinity);
  const isLog = !isLinear && low > 0 && high / low >= WIDE;
  const along = isLog ? Math.log : (value) => value;
  const [start, reach] = [along(low), along(high) - along(low) || 1];
  const at = (value) => from + ((along(value) - start) / reach) * (to - from);
  const marked = isLog ? evenly(start, reach).map((one) => Number(Math.exp(one).toPrecision(2))) : rounded(low, high);
  return { at, ticks: marked.map((value) => [short(value), at(value)]) };
}

function ofWords(values, from, to) {
  const words = [...new Set(values.map(String))].sort();
  const at = (value) => from + (words.indexOf(String(value)) / Math.max(1, words.length - 1)) * (to - from);
  return { at, ticks: words.slice(0, 2 * TICKS).map((word) => [word.length > 14 ? `${word.slice(0, 13)}…` : word, at(word)]) };
}

const evenly = (start, reach) => Array.from({ length: TICKS }, (_, n) => start + (n / (TICKS - 1)) * reach);

// Returns multiples of a round step within a range; the only value if there is one.
function rounded(low, high) {
  if (low === high) return [low];
  const rough = (high - low) / (TICKS - 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((one) => one * power >= rough) * power;
  const found = [];
  for (let at = Math.ceil(low / step); at * step <= high + step / 1e6; at++) found.push(at * step);
  return found;
}

const short = (value) => String(Number(value.toPrecision(4)));
