// "Evidence of pairs", "Evidence of programs" and "Bounds over the anchor" of docs/protocol.md.
// A pair is {base, candidate}; figures are BigInt.

const MICRO = 1_000_000n;
const LARGEST = 2n ** 53n - 1n;

const numbers = (text) => text.trim().split(/\s+/).map(BigInt);

const T95 = numbers(`
  6313752 2919986 2353364 2131847 2015049 1943181 1894579 1859549 1833113 1812462 1795885
  1782288 1770934 1761311 1753051 1745884 1739607 1734064 1729133 1724719 1720743 1717145
  1713872 1710883 1708141 1705618 1703289 1701131 1699128 1697261 1695519`);

const L = numbers(`
  1177411 1482304 1665110 1893019 2039334 2229308 2354821 2521133 2632769 2782518 2884054
  3021374 3115135 3242683 3330219 3449824 3532231 3645214 3723298 3830650 3905028 4007514
  4078668 4176897 4245213 4339673 4405465 4496560 4560090 4648156 4709641 4794960 4854586
  4937402 4995328 5075848 5132212 5210617 5265538`);

const C = numbers(`
  5795347 2333198 1471323 1080152 856500 711513 609750 534296 476055 429698
  391894 360456 333884 311119 291389 274117 258865 245296 233140 222186
  212261 203225 194962 187376 180385 173921 167926 162350 157149 152287`);

const C2 = numbers(`
  8328501 4380132 2981140 2264462 1828504 1535170 1324201 1165106 1040797 940954
  858976 790442 732282 682294 638860 600764 567072 537059 510149 485880
  463881 443844 425517`);

export function floorDivide(a, b) {
  const quotient = a / b;
  return a % b !== 0n && a < 0n !== b < 0n ? quotient - 1n : quotient;
}

function isqrt(value) {
  if (value < 2n) return value;
  let root = 1n << BigInt((value.toString(2).length + 1) >> 1);
  for (;;) {
    const next = (root + value / root) >> 1n;
    if (next >= root) return root;
    root = next;
  }
}

const clamp = (value) => (value > LARGEST ? LARGEST : value < -LARGEST ? -LARGEST : value);
const larger = (first, ...others) => others.reduce((a, b) => (b > a ? b : a), first);
const absolute = (value) => (value < 0n ? -value : value);

function sums(values) {
  let sum = 0n, squares = 0n;
  for (const value of values) {
    sum += value;
    squares += value * value;
  }
  return { sum, spread: BigInt(values.length) * squares - sum * sum };
}

function spreadOfDifferences(differences) {
  return differences.reduce((a, b) => larger(a, b)) - differences.reduce((a, b) => (b < a ? b : a));
}

// The s of a task's own pairs: of a program's, at least a twelfth of their mean.
function floorOf(task, n, sum) {
  if (!task.isProgram) return task.floor;
  return larger(task.floor, (absolute(sum) + 12n * n - 1n) / (12n * n));
}

export function differencesOf(task, pairs) {
  return pairs.map(({ base, candidate }) => (task.isMax ? candidate - base : base - candidate));
}

// What pairs show: noise, and, unless they show nothing, mean and reach in millionths, the gain with its
// bounds, and the tests above(g) and below(g).
export function evidenceOf(task, pairs) {
  const n = BigInt(pairs.length);
  const nothing = { pairs: n, noise: 0n, shows: false, above: () => false, below: () => false };
  if (n === 0n) return nothing;
  const differences = differencesOf(task, pairs);
  const d = sums(differences);
  if (task.isExact) {
    const width = spreadOfDifferences(differences);
    const excess = (gain) => d.sum - n * gain;
    return withBounds({
      ...nothing,
      above: (gain) => excess(gain) > n * width,
      below: (gain) => -excess(gain) > n * width,
    }, d.sum, MICRO * width, floorDivide(d.sum, n));
  }
  const floor = floorOf(task, n, d.sum);
  let scatter = larger(d.spread, 2n * floor * floor * n * (n - 1n));
  if (!task.isProgram) {
    const b = sums(pairs.map(({ base }) => base)), c = sums(pairs.map(({ candidate }) => candidate));
    scatter = larger(scatter, b.spread + c.spread);
  }
  const noise = n < 2n ? 0n : isqrt(scatter / (2n * n * (n - 1n)));
  const fewest = task.isProgram ? task.fewest : 3n;
  const unproven = { ...nothing, noise, sum: d.sum, scatter };
  if (n < fewest || n > 32n) return unproven;
  const factor = task.isProgram ? C2[Number(n) - 10] : 2n * C[Number(n) - 3];
  const exceeds = (excess) => excess > 0n && MICRO * excess * excess >= factor * scatter;
  const shift = larger(-absolute(d.sum), -(noise / 2n));
  const moved = d.sum < 0n ? d.sum - shift : d.sum + shift;
  return withBounds({
    ...unproven,
    above: (gain) => exceeds(d.sum - n * gain),
    below: (gain) => exceeds(n * gain - d.sum),
  }, d.sum, 1n + isqrt((MICRO * factor * scatter) / (n * n)), floorDivide(moved, n));
}

function withBounds(evidence, sum, reach, gain) {
  const mean = floorDivide(MICRO * sum, evidence.pairs);
  return {
    ...evidence,
    shows: true,
    mean,
    reach,
    gain: clamp(gain),
    lower: clamp(floorDivide(mean - reach, MICRO)),
    upper: clamp(floorDivide(mean + reach, MICRO)),
  };
}

// L of a number of tries, raised to the next entry of the table.
export function luckFactor(tries) {
  let step = 2n, between = 3n;
  for (const entry of L) {
    if (tries <= step) return entry;
    [step, between] = [between, 2n * step];
  }
  return L.at(-1);
}

// Mean and reach, in millionths, of pairs with the anchor whose number was fixed in advance; null if too few.
function fixedReach(task, pairs) {
  const n = BigInt(pairs.length);
  const d = sums(differencesOf(task, pairs));
  const floor = floorOf(task, n, d.sum);
  const scatter = larger(d.spread, 2n * floor * floor * n * (n - 1n));
  const t = T95[pairs.length - 2];
  return {
    mean: floorDivide(MICRO * d.sum, n),
    reach: 1n + isqrt((t * t * scatter) / (n * n * (n - 1n))),
  };
}

// The gain over the anchor of the pairs of one split, or null; `isBase` if the record's base is the anchor.
export function overAnchor(task, pairs, isBase) {
  if (pairs.length < (task.isExact ? 1 : 4)) return null;
  if (!task.isExact && !isBase) return { pairs: BigInt(pairs.length), ...fixedReach(task, pairs) };
  const evidence = evidenceOf(task, pairs);
  return evidence.shows ? { pairs: evidence.pairs, mean: evidence.mean, reach: evidence.reach } : null;
}

export function anchorBounds({ pairs, mean, reach }, luck) {
  return {
    pairs,
    gain: clamp(floorDivide(mean, MICRO)),
    lower: clamp(floorDivide(mean - reach - luck, MICRO)),
    upper: clamp(floorDivide(mean + reach, MICRO)),
  };
}
