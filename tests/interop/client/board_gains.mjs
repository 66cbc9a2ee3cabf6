// The gains of one record: "Pairs and differences" and "What a re-run bears out" of docs/protocol.md.

import { anchorBounds, evidenceOf, floorDivide, luckFactor, overAnchor } from "./board_evidence.mjs";
import { hex } from "./board_records.mjs";

const SPLITS = ["metric", "secret"];

function isOk(task, run, split) {
  return run.get("status") === "ok" && !(task.zeroIsNoFigure && run.get(split) === 0n);
}

// The figures that count of one role on one split, by seed.
export function figures(task, runs, role, split) {
  const found = new Map();
  for (const run of runs) {
    const seed = run.get("seed");
    if (run.get("role") === role && isOk(task, run, split) && !found.has(seed)) found.set(seed, run.get(split));
  }
  return found;
}

function pairsOf(task, runs, role, split) {
  const bases = figures(task, runs, role, split), candidates = figures(task, runs, "candidate", split);
  const seeds = [...candidates.keys()].filter((seed) => bases.has(seed));
  return seeds.map((seed) => ({ base: bases.get(seed), candidate: candidates.get(seed) }));
}

function anchorPairs(task, body, split) {
  const isBase = hex(body.get("base")) === task.anchor;
  return overAnchor(task, pairsOf(task, body.get("runs"), isBase ? "base" : "anchor", split), isBase);
}

// A claim with its gains, or null if it makes no row.
export function readClaim(task, record, tries) {
  const { body } = record;
  const base = evidenceOf(task, pairsOf(task, body.get("runs"), "base", "secret"));
  if (body.get("status") !== "ok" || !base.shows) return null;
  const [onMetric, onSecret] = SPLITS.map((split) => anchorPairs(task, body, split));
  let anchor = null;
  if (onMetric && onSecret) {
    const lower = onMetric.mean - onMetric.reach < onSecret.mean - onSecret.reach ? onMetric : onSecret;
    const spread = base.noise > task.floor ? base.noise : task.floor;
    anchor = anchorBounds(lower, task.isExact ? 0n : spread * luckFactor(tries));
  }
  return {
    id: record.id,
    author: record.author,
    tree: hex(body.get("tree")),
    base: hex(body.get("base")),
    body,
    gain: base,
    anchor,
  };
}

// Whether a re-run's `again` differs from the figure that the claim's author published.
function isContradicted(task, claim, again) {
  if (again?.get("status") !== "ok") return false;
  const published = figures(task, claim.body.get("runs"), "candidate", "metric").get(again.get("seed"));
  if (published === undefined) return false;
  const difference = published - again.get("metric");
  const eighth = task.floor / 8n;
  return (difference < 0n ? -difference : difference) > (eighth > 1n ? eighth : 1n);
}

function bearsOut(task, evidence, claim, again, hardwareClass) {
  if (claim && hardwareClass === "any" && isContradicted(task, claim, again)) return "refuted";
  let least = 0n;
  if (claim) {
    for (const bound of [floorDivide(claim.gain.gain, 2n), claim.gain.lower]) if (bound > least) least = bound;
  }
  if (evidence.above(0n)) return evidence.below(least) ? "smaller" : "confirmed";
  return evidence.below(least) ? "refuted" : null;
}

// A re-run as it counts: its verdict or `unsupported`, and its gain over the anchor if it has one.
// `claims` are those that make a row, by id.
export function readRerun(task, record, claims, hardwareClass) {
  const { body } = record;
  const tree = hex(body.get("tree")), base = hex(body.get("base"));
  const target = claims.get(hex(body.get("target")));
  const claim = target && target.tree === tree && target.base === base ? target : null;
  const evidence = evidenceOf(task, pairsOf(task, body.get("runs"), "base", "secret"));
  const shown = bearsOut(task, evidence, claim, body.get("again"), hardwareClass);
  const over = anchorPairs(task, body, "secret");
  return {
    id: record.id,
    author: record.author,
    countsAs: shown === body.get("verdict") ? shown : "unsupported",
    anchor: over && anchorBounds(over, 0n),
  };
}
