// Which records a leaderboard reads: "Records that count" of docs/protocol.md, and as much of "Records"
// as that needs. Wires are taken to be valid.

import { decode } from "./encoding.mjs";
import { idOf, isUnderstood } from "./records.mjs";

// A record as a plain object; `read` is false if its body has no meaning for this version.
export function readRecord(wire) {
  const [payload] = decode(wire);
  const fields = decode(payload);
  return {
    id: idOf(payload).toString("hex"),
    net: fields.get("net"),
    kind: fields.get("kind"),
    author: fields.get("author").toString("hex"),
    seq: fields.get("seq"),
    body: fields.get("body"),
    read: isUnderstood(fields),
  };
}

export function readRecords(wires, net) {
  const found = new Map();
  for (const wire of wires) {
    const record = readRecord(wire);
    if (record.net === net) found.set(record.id, record);
  }
  return [...found.values()];
}

export function hex(bytes) {
  return bytes === null || bytes === undefined ? null : bytes.toString("hex");
}

// The two records of each author that prove its first equivocation.
function equivocations(records) {
  const chains = new Map();
  for (const record of records) {
    if (!chains.has(record.author)) chains.set(record.author, new Map());
    const chain = chains.get(record.author);
    if (!chain.has(record.seq)) chain.set(record.seq, []);
    chain.get(record.seq).push(record);
  }
  const proofs = new Map();
  for (const [author, chain] of chains) {
    const shared = [...chain.keys()].filter((seq) => chain.get(seq).length > 1);
    if (shared.length === 0) continue;
    const lowest = shared.reduce((a, b) => (a < b ? a : b));
    proofs.set(author, chain.get(lowest).sort((a, b) => (a.id < b.id ? -1 : 1)).slice(0, 2));
  }
  return proofs;
}

// All that a leaderboard reads (`ids`), and what of it has an effect: claims, re-runs and adoptions that
// are not retracted, of authors who are not ignored; and each author's number of tries.
export function select(records, task, hardwareClass) {
  const isAbout = (body) => hex(body.get("task")) === task && body.get("class") === hardwareClass;
  const isClaim = (record) => record.kind === "result" && record.body.get("stage") === "confirm";
  const about = records.filter(({ read, kind, body, ...record }) => {
    if (!read || kind === "retract" || !isAbout(body)) return false;
    return isClaim({ kind, body, ...record }) || kind === "rerun" || (kind === "adopt" && !body.get("unverified"));
  });
  const byId = new Map(about.map((record) => [record.id, record]));
  const authors = new Set(about.map((record) => record.author));
  const ids = new Set(byId.keys());
  const retracted = new Set();
  const ignored = new Set();
  for (const record of records) {
    if (record.kind !== "retract" || !record.read || !authors.has(record.author)) continue;
    const target = hex(record.body.get("target"));
    if (record.body.get("revoke")) {
      ids.add(record.id);
      ignored.add(record.author);
    } else if (byId.get(target)?.author === record.author) {
      ids.add(record.id);
      retracted.add(target);
    }
  }
  for (const [author, pair] of equivocations(records)) {
    if (!authors.has(author)) continue;
    for (const record of pair) ids.add(record.id);
    ignored.add(author);
  }
  const tries = new Map();
  for (const record of about) {
    if (isClaim(record)) tries.set(record.author, (tries.get(record.author) ?? 0) + 1);
  }
  const counting = about.filter((record) => !ignored.has(record.author) && !retracted.has(record.id));
  return {
    ids: [...ids].sort(),
    claims: counting.filter(isClaim),
    reruns: counting.filter((record) => record.kind === "rerun"),
    adoptions: counting.filter((record) => record.kind === "adopt"),
    tries,
  };
}
