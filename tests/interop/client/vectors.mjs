// The golden records, signatures and evidence of a folder, judged by this client:
//     node tests/interop/client/vectors.mjs tests/vectors
// It prints counts and each failure, and fails if there is one.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { evidenceOf } from "./board_evidence.mjs";
import { encode } from "./encoding.mjs";
import { Invalid } from "./invalid.mjs";
import { make, read } from "./records.mjs";
import { faultOf, keyOf, nodeHolds } from "./signatures.mjs";
import { sha256, taskOf, treeOf } from "./trees.mjs";

const folder = process.argv[2] ?? "tests/vectors";
const golden = JSON.parse(readFileSync(join(folder, "records.json"), "utf-8"));
const signatures = JSON.parse(readFileSync(join(folder, "signatures.json"), "utf-8"));
const { cases } = JSON.parse(readFileSync(join(folder, "evidence.json"), "utf-8"));
const hex = (bytes) => Buffer.from(bytes).toString("hex");
const bytes = (digits) => Buffer.from(digits, "hex");
const failures = [];

/** Return the value that JSON describes: ints for numbers, bytes for {"hex": …}. */
function valueOf(json) {
  if (typeof json === "number") return BigInt(json);
  if (Array.isArray(json)) return json.map(valueOf);
  if (json === null || typeof json !== "object") return json;
  const names = Object.keys(json);
  if (names.length === 1 && names[0] === "hex") return bytes(json.hex);
  return new Map(names.map((name) => [name, valueOf(json[name])]));
}

function same(name, found, expected) {
  if (found !== expected) throw new Error(`${name}: ${found}, not ${expected}`);
}

/** Run a check of each case, note what fails, and print how many passed. */
function count(title, cases, nameOf, check) {
  let passed = 0;
  for (const one of cases) {
    try {
      check(one);
      passed += 1;
    } catch (fault) {
      failures.push(`${title}: ${nameOf(one)}: ${fault.message}`);
    }
  }
  console.log(`${title}: ${passed} of ${cases.length}`);
}

function checkRecord(one) {
  const made = make(valueOf(one.value), bytes(golden.author_seed));
  for (const name of ["payload", "signature", "id", "wire"]) same(name, hex(made[name]), one[name]);
  const found = read(bytes(one.wire));
  same("id when read", hex(found.id), one.id);
  same("kind", found.value.get("kind"), one.kind);
  same("read", found.isRead, true);
  same("author", hex(found.value.get("author")), hex(keyOf(bytes(golden.author_seed))));
}

function checkReject(one) {
  let refused;
  try {
    read(bytes(one.wire));
  } catch (fault) {
    if (!(fault instanceof Invalid)) throw fault;
    refused = fault;
  }
  if (refused === undefined) throw new Error(`accepted, but: ${one.reason}`);
  const isVersion = refused.where === "v"; // whose reason names no field
  const place = isVersion ? "a record of network version" : refused.where && `${refused.where}: `;
  if (!one.reason.startsWith(place)) {
    throw new Error(`refused for "${refused.message}", but: ${one.reason}`);
  }
}

function checkSignature(one) {
  const [key, message, signature] = [one.public, one.message, one.signature].map(bytes);
  const fault = faultOf(key, message, signature);
  same("fault", fault, one.fault);
  // After steps 2 to 4, Node's library is to agree on step 5.
  if (fault === null || fault === "equation") {
    same("Node", nodeHolds(key, message, signature), fault === null);
  }
}

function checkEvidence(one) {
  const task = { isProgram: false, isExact: false, isMax: false, floor: BigInt(one.noise) };
  const pairs = one.pairs.map(([base, candidate]) => ({
    base: BigInt(base),
    candidate: BigInt(candidate),
  }));
  const { sum, scatter, above, below } = evidenceOf(task, pairs);
  const isLess = below(BigInt(one.least));
  same("total", String(sum), one.total);
  same("scatter", String(scatter), one.scatter);
  const gained = isLess ? "smaller" : "confirmed";
  same("verdict", above(0n) ? gained : isLess ? "refuted" : null, one.verdict);
}

function checkTree(one) {
  const blobs = Object.entries(one.files).map(([path, data]) => [path, sha256(bytes(data))]);
  same("tree", hex(treeOf(blobs)), one.tree);
}

function checkTask(one) {
  const manifest = valueOf(one.manifest);
  same("encoded", hex(encode(manifest)), one.encoded);
  same("id", hex(taskOf(manifest)), one.id);
  same("baseline", hex(treeOf(manifest.get("files"))), one.baseline_tree);
}

count("records", golden.records, (one) => one.kind, checkRecord);
count("variants", golden.variants, (one) => one.variant, checkRecord);
count("rejects", golden.rejects, (one) => one.fault, checkReject);
count("signatures", signatures, (one) => one.name, checkSignature);
count("evidence", cases, (one) => one.name, checkEvidence);
count("trees", golden.trees, (one) => one.tree, checkTree);
count("tasks", golden.tasks, (one) => one.id, checkTask);
for (const failure of failures) console.log(failure);
process.exitCode = failures.length > 0 ? 1 : 0;
