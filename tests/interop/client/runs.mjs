// "Runs" of docs/protocol.md, "Kinds", and the seeds that a re-run's proof draws.

import { entries, id, int, list, map, orNil, rule, word } from "./checks.mjs";
import { line } from "./text.mjs";
import { sha256 } from "./trees.mjs";

/** One run of a result, a re-run or a noise record. */
export const oneRun = map(
  {
    seed: int(0, 2 ** 31 - 1),
    role: word,
    status: word,
    metric: orNil(int()),
    secret: orNil(int()),
    ms: int(0),
    cpu_ms: int(0),
    serve_ms: int(0),
    tokens: int(0),
    peak_mem: int(0),
    flags: list(word, 0, 16),
    reason: orNil(line(0, 200)),
    audit: orNil(map({ k: int(1), mean: int(), se: int(0), max: int() })),
  },
  { step: int(0), answer: id, also: entries(int(), 32) },
  rule((run) => {
    const isOk = run.get("status") === "ok";
    return ["metric", "secret"].every((name) => (run.get(name) !== null) === isOk);
  }, "metric and secret are there exactly when the status is ok"),
);

export const runs = (least) => list(oneRun, least, 64);

const note = line(0, 120);

/** The environment of a result, a re-run or a noise record. */
export const env = entries((value, where) => typeof value === "bigint" || note(value, where), 32);

/** Return what a re-run's proof signs: its target, or its base and tree. */
export function subjectOf(body) {
  return body.get("target") ?? Buffer.concat([body.get("base"), body.get("tree")]);
}

/** Return the seeds of the first pairs that a proof draws. */
export function seedsOf(proof, count) {
  return Array.from({ length: count }, (_, i) => {
    const number = Buffer.alloc(4);
    number.writeUInt32BE(i);
    return BigInt(sha256("arnode/seed/1\0", proof, number).readUInt32BE(0) >>> 1);
  });
}
