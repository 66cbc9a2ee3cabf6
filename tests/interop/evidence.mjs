// What a re-run's pairs bear out by themselves: docs/protocol.md, Leaderboards.

const CRITICAL = [
  5795347, 2333198, 1471323, 1080152, 856500, 711513, 609750, 534296, 476055, 429698,
  391894, 360456, 333884, 311119, 291389, 274117, 258865, 245296, 233140, 222186,
  212261, 203225, 194962, 187376, 180385, 173921, 167926, 162350, 157149, 152287,
].map(BigInt);

const sum = (values) => values.reduce((total, value) => total + value, 0n);
const most = (...values) => values.reduce((one, other) => (one > other ? one : other));

// pairs: [other, candidate] figures, smaller being better.
export function bearsOut(pairs, noise, least) {
  const n = BigInt(pairs.length), s = BigInt(noise);
  const spread = (values) => n * sum(values.map((value) => value * value)) - sum(values) ** 2n;
  const sides = [0, 1].map((side) => pairs.map((pair) => BigInt(pair[side])));
  const gains = sides[0].map((other, i) => other - sides[1][i]);
  const total = sum(gains);
  const scatter = most(
    spread(sides[0]) + spread(sides[1]), spread(gains), 2n * s * s * n * (n - 1n),
  );
  const critical = CRITICAL[pairs.length - 3];
  const isShown = (difference) =>
    critical !== undefined &&
    difference > 0n &&
    1_000_000n * difference ** 2n >= 2n * critical * scatter;
  const above = isShown(total), below = isShown(n * BigInt(least) - total);
  const verdict = above ? (below ? "smaller" : "confirmed") : below ? "refuted" : null;
  return { total: String(total), scatter: String(scatter), verdict };
}
