// The client's records as plain objects with numbers, which these programs use.

import { make, read } from "./client/records.mjs";
import { keyOf } from "./client/signatures.mjs";

export { sha256 } from "./client/trees.mjs";

// `fields` are those of the payload, but for `v` and `author`.
export function signRecord(seed, fields) {
  return make(encodable({ ...fields, v: 3, author: keyOf(seed) }), seed).wire;
}

export function readRecord(wire) {
  const { id, value } = read(wire);
  return { id, wire, ...plain(value) };
}

function encodable(value) {
  if (typeof value === "number") return BigInt(value);
  if (Array.isArray(value)) return value.map(encodable);
  if (value === null || typeof value !== "object" || value instanceof Uint8Array) return value;
  return new Map(Object.entries(value).map(([name, one]) => [name, encodable(one)]));
}

function plain(value) {
  if (typeof value === "bigint") return Number(value);
  if (Array.isArray(value)) return value.map(plain);
  if (!(value instanceof Map)) return value;
  return Object.fromEntries([...value].map(([name, one]) => [name, plain(one)]));
}
