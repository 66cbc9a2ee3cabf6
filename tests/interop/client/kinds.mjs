// "Kinds" of docs/protocol.md: what makes the body of each kind valid, by the record's author.

import {
  bool, bytes, entries, hardware, id, int, list, map, orNil, path, rule, sorted, word,
} from "./checks.mjs";
import { holds } from "./signatures.mjs";
import { task } from "./tasks.mjs";
import { line, text } from "./text.mjs";
import { env, runs, oneRun, seedsOf, subjectOf } from "./runs.mjs";

const equal = (a, b) => Buffer.compare(a, b) === 0;
const count = (body, ...names) => names.filter((one) => body.has(one)).length;
const prefixed = (prefix, ...parts) => Buffer.concat([Buffer.from(`${prefix}\0`), ...parts]);
const origin = { proposer: word, model: orNil(line(1, 80)), program: orNil(id) };
const spanRule = rule((body) => body.get("since") <= body.get("until"), "until is before since");

const profile = (author) =>
  map(
    {
      name: line(1, 64),
      version: line(0, 32),
      transport: id,
      binding: bytes(64),
      classes: list(hardware, 0, 16),
    },
    {
      formerly: map(
        { author: id, signature: bytes(64) },
        {},
        rule(
          (one) =>
            holds(one.get("author"), prefixed("arnode/next/1", author), one.get("signature")),
          "the older key does not sign",
        ),
      ),
    },
    rule(
      (body) =>
        holds(body.get("transport"), prefixed("arnode/bind/1", author), body.get("binding")),
      "the binding does not hold",
    ),
  );

const patch = map(
  {
    task: id,
    base: id,
    tree: id,
    files: sorted(
      map({ path, old: orNil(id), new: id, size: int(0) }),
      1,
      8,
      (one) => one.get("path"),
    ),
    diff: map(
      {},
      { zlib: bytes(1, 8192), blob: id },
      rule((one) => count(one, "zlib", "blob") === 1, "either zlib or blob"),
    ),
    title: line(1, 120),
    why: text(0, 600),
    parents: list(id, 0, 8),
    origin: map(origin),
  },
  { found_on: map({ task: id, class: hardware, patch: orNil(id) }) },
);

const isBaseline = (body) => body.get("stage") === "baseline";
const allBase = (body) => body.get("runs").every((one) => one.get("role") === "base");

const result = map(
  {
    task: id,
    class: hardware,
    env,
    patch: orNil(id),
    base: id,
    tree: id,
    stage: word,
    status: word,
    runs: runs(0),
    cost: map({ device_ms: int(0) }, { tokens: int(0), micro_usd: int(0) }),
    note: text(0, 500),
  },
  { size: int(1), level: int() },
  rule((body) => (body.get("patch") === null) === isBaseline(body), "a patch, or none"),
  rule((body) => !isBaseline(body) || equal(body.get("base"), body.get("tree")), "two trees"),
  rule((body) => !isBaseline(body) || allBase(body), "a baseline's runs"),
  rule(
    (body) =>
      body.get("status") !== "ok" || body.get("runs").some((one) => one.get("status") === "ok"),
    "ok without an ok run",
  ),
);

const rerun = (author) =>
  map(
    {
      task: id,
      class: hardware,
      env,
      base: id,
      tree: id,
      target: orNil(id),
      proof: bytes(64),
      runs: runs(1),
      verdict: word,
    },
    { alpha: int(1, 1_000_000), pairs: int(1, 32), again: oneRun },
    (body, where) =>
      rule((one) => !equal(one.get("base"), one.get("tree")), "its base")(body, `${where}: tree`),
    rule((body) => count(body, "alpha", "pairs") !== 1, "one of alpha and pairs"),
    (body, where) =>
      rule((one) => !one.has("again") || one.get("target") !== null, "no target")(
        body,
        `${where}: again`,
      ),
    (body, where) =>
      rule(
        (one) => holds(author, prefixed("arnode/seed/1", subjectOf(one)), one.get("proof")),
        "does not hold",
      )(body, `${where}: proof`),
    (body, where) =>
      rule((one) => {
        const seen = [...new Set(one.get("runs").map((run) => run.get("seed")))];
        const due = seedsOf(one.get("proof"), seen.length);
        return seen.every((seed, i) => seed === due[i]);
      }, "not the proof's seeds")(body, `${where}: runs`),
  );

const noise = map(
  { task: id, class: hardware, env, tree: id, runs: runs(1) },
  {},
  (body, where) => rule(allBase, "another role")(body, `${where}: runs`),
);

const adopt = map(
  { task: id, class: hardware, from: id, to: id, evidence: orNil(id), unverified: bool },
  {},
  rule((body) => body.get("evidence") !== null || body.get("unverified"), "verified by nothing"),
);

const intent = map({
  task: id,
  class: hardware,
  base: id,
  title: line(1, 120),
  ttl_s: int(1, 3600),
});

const insight = map({
  task: id,
  class: orNil(hardware),
  text: text(1, 600),
  evidence: list(id, 0, 16),
});

const retract = map(
  { target: orNil(id), revoke: bool, reason: line(0, 200) },
  {},
  rule((body) => (body.get("target") === null) === body.get("revoke"), "a target or the key"),
);

const report = map(
  {
    task: id,
    class: hardware,
    title: line(1, 120),
    since: int(0),
    until: int(0),
    base: id,
    head: id,
    figures: entries(int(), 32),
    text: id,
    size: int(1, 1_048_576),
    evidence: list(id, 0, 16),
  },
  {},
  spanRule,
);

const outcomes = ["unusable", "failed", "rejected", "tried"];

const tally = map(
  {
    ...origin,
    proposed: int(0),
    ...Object.fromEntries(outcomes.map((one) => [one, int(0)])),
    kept: int(0),
  },
  {},
  rule(
    (one) => outcomes.reduce((sum, name) => sum + one.get(name), 0n) <= one.get("proposed"),
    "more outcomes than proposals",
  ),
  rule((one) => one.get("kept") <= one.get("tried"), "more kept than tried"),
);

function originOf(one) {
  const program = one.get("program");
  return JSON.stringify([
    one.get("proposer"),
    one.get("model"),
    program && Buffer.from(program).toString("hex"),
  ]);
}

const proposals = map(
  { task: id, class: hardware, since: int(0), until: int(0), counts: list(tally, 1, 32) },
  {},
  spanRule,
  (body, where) =>
    rule(
      (one) => new Set(one.get("counts").map(originOf)).size === one.get("counts").length,
      "an origin twice",
    )(body, `${where}: counts`),
);

const always = (check) => () => check;

const KINDS = new Map(
  Object.entries({
    profile,
    task: always(task),
    patch: always(patch),
    result: always(result),
    rerun,
    noise: always(noise),
    adopt: always(adopt),
    intent: always(intent),
    insight: always(insight),
    retract: always(retract),
    report: always(report),
    proposals: always(proposals),
  }),
);

/** Return the check of the body of a kind, or undefined for an unknown kind. */
export const bodyOf = (kind, author) => KINDS.get(kind)?.(author);
