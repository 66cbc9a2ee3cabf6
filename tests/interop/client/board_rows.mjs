// "Rows and ranks" of docs/protocol.md.

import { floorDivide } from "./board_evidence.mjs";
import { figures, readClaim, readRerun } from "./board_gains.mjs";
import { hex, select } from "./board_records.mjs";
import { encode } from "./encoding.mjs";
import { sha256 } from "./trees.mjs";

const VERDICTS = ["confirmed", "smaller", "refuted"];
const LARGEST = 2n ** 53n - 1n;

const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
// By falling `lower` of a gain, then by id.
const byLower = (gainOf) => (a, b) => compare(gainOf(b).lower, gainOf(a).lower) || compare(a.id, b.id);

function grouped(items, keyOf) {
  const groups = new Map();
  for (const item of items) {
    const key = keyOf(item);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(item);
  }
  return groups;
}

function shownClaim(claims) {
  const anchored = claims.filter((claim) => claim.anchor);
  if (anchored.length > 0) return anchored.sort(byLower((claim) => claim.anchor))[0];
  return claims.sort(byLower((claim) => claim.gain))[0];
}

// For each author other than the row's, the last re-run of a tree that counts.
function rerunsOfOthers(task, claims, shown, reruns) {
  const bases = new Set([task.anchor, ...claims.map((claim) => claim.base)]);
  const last = new Map();
  for (const record of reruns) {
    const { author, body } = record;
    if (author === shown.author || !VERDICTS.includes(body.get("verdict")) || !bases.has(hex(body.get("base")))) continue;
    const other = last.get(author);
    if (!other || (compare(record.seq, other.seq) || compare(record.id, other.id)) > 0) last.set(author, record);
  }
  return [...last.values()];
}

function meanMetric(task, claim) {
  const found = [...figures(task, claim.body.get("runs"), "candidate", "metric").values()];
  return found.length === 0 ? 0n : floorDivide(found.reduce((a, b) => a + b), BigInt(found.length));
}

function flagsOf(task, claim) {
  const flags = [];
  if (claim.body.get("runs").some((run) => run.get("flags").includes("contended"))) flags.push("contended");
  if (claim.gain.gain > task.maxStep) flags.push("implausible");
  return flags;
}

// One tree's row, without its rank: the claim's id, the gain that it ranks by (or null), and its fields.
function rowOf(task, tree, claims, shown, reruns, selected) {
  const count = (word) => BigInt(reruns.filter((rerun) => rerun.countsAs === word).length);
  const found = reruns.filter((rerun) => ["confirmed", "smaller"].includes(rerun.countsAs) && rerun.anchor);
  const best = found.sort(byLower((rerun) => rerun.anchor))[0]?.anchor ?? null;
  const adopters = selected.adoptions.filter(({ author, body }) => hex(body.get("to")) === tree && author !== shown.author);
  const { gain, anchor } = shown;
  const fields = {
    tree: Buffer.from(tree, "hex"),
    author: Buffer.from(shown.author, "hex"),
    result: Buffer.from(shown.id, "hex"),
    metric: meanMetric(task, shown),
    anchor_pairs: anchor?.pairs ?? 0n,
    gain_anchor: anchor?.gain ?? null,
    gain_anchor_lower: anchor?.lower ?? null,
    rerun_pairs: best?.pairs ?? 0n,
    gain_rerun: best?.gain ?? null,
    gain_rerun_lower: best?.lower ?? null,
    pairs: gain.pairs,
    gain: gain.gain,
    gain_lower: gain.lower,
    tries: BigInt(selected.tries.get(shown.author)),
    confirmed: count("confirmed"),
    smaller: count("smaller"),
    refuted: count("refuted"),
    unsupported: count("unsupported"),
    adopted: BigInt(new Set(adopters.map((record) => record.author)).size),
    env: shown.body.get("env"),
    flags: flagsOf(task, shown),
  };
  return { id: shown.id, tree, size: shown.body.get("size") ?? LARGEST, gain, over: best ?? anchor, fields };
}

// The rows in their order, each with `rank` and `tie`.
function ranked(rows) {
  let waiting = rows.filter((row) => row.over).sort(byLower((row) => row.over));
  const done = [];
  while (waiting.length > 0) {
    const { lower } = waiting[0].over;
    const group = waiting.filter((row, place) => place === 0 || row.over.upper >= lower);
    waiting = waiting.filter((row) => !group.includes(row));
    group.sort((a, b) => compare(a.size, b.size) || compare(a.tree, b.tree));
    const rank = BigInt(done.length + 1);
    done.push(...group.map((row) => ({ rank, tie: group.length > 1, ...row.fields })));
  }
  const others = rows.filter((row) => !row.over).sort(byLower((row) => row.gain));
  return [...done, ...others.map((row) => ({ rank: null, tie: false, ...row.fields }))];
}

function rowsOf(task, selected, hardwareClass) {
  if (!task.hasRows) return [];
  const tried = selected.claims.map((record) => readClaim(task, record, BigInt(selected.tries.get(record.author))));
  const claims = tried.filter((claim) => claim !== null);
  const byId = new Map(claims.map((claim) => [claim.id, claim]));
  const rerunsOf = grouped(selected.reruns, (record) => hex(record.body.get("tree")));
  const rows = [];
  for (const [tree, own] of grouped(claims, (claim) => claim.tree)) {
    const shown = shownClaim(own);
    const last = rerunsOfOthers(task, own, shown, rerunsOf.get(tree) ?? []);
    const reruns = last.map((record) => readRerun(task, record, byId, hardwareClass));
    rows.push(rowOf(task, tree, own, shown, reruns, selected));
  }
  return ranked(rows);
}

// A leaderboard: its rows (values as in msgpack) and both digests in hex.
export function leaderboard(records, taskId, task, hardwareClass) {
  const selected = select(records, taskId, hardwareClass);
  const rows = rowsOf(task, selected, hardwareClass);
  const encoded = rows.map((row) => encode(new Map(Object.entries(row))));
  const ids = selected.ids.map((id) => Buffer.from(id, "hex"));
  return {
    rows,
    board_digest: hex(sha256("arnode/board/3\0", Buffer.from(taskId, "hex"), hardwareClass, "\0", ...encoded)),
    set_digest: hex(sha256("arnode/set/3\0", ...ids)),
  };
}
