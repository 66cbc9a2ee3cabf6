// "Records" of docs/protocol.md: the wire form, id, signature and fields of a record.

import { id, int, list, map, matching, name, orNil } from "./checks.mjs";
import { LARGEST, decode, encode } from "./encoding.mjs";
import { Invalid } from "./invalid.mjs";
import { bodyOf } from "./kinds.mjs";
import { holds, isKey, sign } from "./signatures.mjs";
import { sha256 } from "./trees.mjs";

const LARGEST_WIRE = 16_384;
const VERSION = 3n;
const anyMap = map({});

const record = map(
  {
    v: int(VERSION, VERSION),
    net: matching(/^[a-z0-9-]{1,48}$/),
    kind: name,
    author: id,
    seq: int(0, LARGEST),
    prev: orNil(id),
    ts: int(0, LARGEST),
    body: anyMap,
  },
  { refs: list(id, 0, 16), crit: list(name, 0, 16), x: anyMap },
);

const signed = (payload) => Buffer.concat([Buffer.from("arnode/sig/1\0"), payload]);

/** Return the id of the record with this payload. */
export function idOf(payload) {
  return sha256("arnode/id/1\0", payload);
}

/** Return the wire form of a payload and its signature. */
export const wireOf = (payload, signature) => encode([payload, signature]);

/** Sign a record's fields with the key of a seed. */
export function make(value, seed) {
  const payload = encode(value);
  const signature = sign(seed, signed(payload));
  return { payload, signature, id: idOf(payload), wire: wireOf(payload, signature) };
}

/** Return the payload, the signature and the fields of a valid record, or throw an Invalid.
 *
 * `isRead` says whether its body has a meaning: its kind is known, and so is what `crit` names.
 */
export function read(wire) {
  if (wire.length > LARGEST_WIRE) throw new Invalid("", `${wire.length} bytes`);
  const pair = decode(wire);
  const isPair = Array.isArray(pair) && pair.length === 2;
  if (!isPair || !pair.every((one) => one instanceof Uint8Array) || pair[1].length !== 64) {
    throw new Invalid("", "no pair of a payload and a signature");
  }
  const [payload, signature] = pair;
  const value = decode(payload);
  record(value, "");
  const author = value.get("author");
  if (!isKey(author)) throw new Invalid("author", "no point of prime order");
  if (!holds(author, signed(payload), signature)) throw new Invalid("", "the signature is wrong");
  return { payload, signature, value, id: idOf(payload), isRead: readBody(value) };
}

/** Return whether a payload's kind is known, and all fields that its `crit` names. */
export function isUnderstood(value) {
  const known = bodyOf(value.get("kind"), value.get("author"))?.fields;
  const isKnown = (one) => one !== "x" && (record.fields.has(one) || known.has(one));
  return known !== undefined && (value.get("crit") ?? []).every(isKnown);
}

function readBody(value) {
  if (!isUnderstood(value)) return false;
  bodyOf(value.get("kind"), value.get("author"))(value.get("body"), "body");
  return true;
}
