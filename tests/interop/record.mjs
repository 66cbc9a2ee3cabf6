// Records: made, and read with all that holds for every kind. Of a body only the texts are looked
// at: to read, keep and pass on a record of a kind that one does not know, the rest is enough.

import { createHash, createPrivateKey, createPublicKey, sign } from "node:crypto";

import { decodeCanonical, encode } from "./msgpack.mjs";
import { isKey, isSigned } from "./signature.mjs";
import { checkTexts } from "./texts.mjs";

const LIMIT_BYTES = 16_384;
const SIGNATURE_BYTES = 64;
// What PKCS #8 (RFC 8410) writes before the 32 bytes of an Ed25519 seed.
const SEED_HEAD = Buffer.from("302e020100300506032b657004220420", "hex");

const isInteger = (value) => Number.isSafeInteger(value) && value >= 0;
const isId = (value) => value instanceof Uint8Array && value.length === 32;
const isMap = (value) =>
  typeof value === "object" && value !== null && Object.getPrototypeOf(value) === null;
const isWord = (pattern) => (value) => typeof value === "string" && pattern.test(value);
const isListOf = (holds) => (value) =>
  Array.isArray(value) && value.length <= 16 && value.every(holds);

const REQUIRED = {
  v: (value) => value === 3,
  net: isWord(/^[a-z0-9-]{1,48}$/),
  kind: isWord(/^[a-z0-9_]{1,24}$/),
  author: (value) => isId(value) && isKey(value),
  seq: isInteger,
  prev: (value) => value === null || isId(value),
  ts: isInteger,
  body: isMap,
};
const OPTIONAL = {
  refs: isListOf(isId),
  crit: isListOf(isWord(/^[a-z0-9_]{1,24}$/)),
  x: isMap,
};

// `fields` are those of the payload, but for `v` and `author`.
export function signRecord(seed, fields) {
  const key = createPrivateKey({
    key: Buffer.concat([SEED_HEAD, seed]),
    format: "der",
    type: "pkcs8",
  });
  const author = Buffer.from(createPublicKey(key).export({ format: "jwk" }).x, "base64url");
  const payload = encode({ ...fields, v: 3, author });
  return wireOf(payload, sign(null, inContext("arnode/sig/1", payload), key));
}

export function readRecord(wire) {
  if (wire.length > LIMIT_BYTES) throw new Error(`${wire.length} bytes`);
  const header = wire[1] === 0xc4 ? 3 : 4;
  const payload = wire.subarray(header, -SIGNATURE_BYTES - 2);
  const signature = wire.subarray(-SIGNATURE_BYTES);
  if (!wireOf(payload, signature).equals(wire)) throw new Error("not [payload, signature]");
  const fields = decodeCanonical(payload);
  if (!isMap(fields)) throw new Error("a payload that is no map");
  for (const [name, holds] of Object.entries(REQUIRED)) {
    if (!(name in fields && holds(fields[name]))) throw new Error(`${name} is missing or wrong`);
  }
  for (const [name, holds] of Object.entries(OPTIONAL)) {
    if (name in fields && !holds(fields[name])) throw new Error(`${name} is wrong`);
  }
  if (!isSigned(fields.author, inContext("arnode/sig/1", payload), signature)) {
    throw new Error("the signature does not verify");
  }
  // If a field that `crit` names is unknown, the body is not read.
  if (!fields.crit?.length) checkTexts(fields.kind, fields.body);
  return { id: sha256(inContext("arnode/id/1", payload)), wire, ...fields };
}

export function sha256(...parts) {
  const hash = createHash("sha256");
  parts.forEach((part) => hash.update(part));
  return hash.digest();
}

function wireOf(payload, signature) {
  return encode([payload, signature]);
}

function inContext(context, bytes) {
  return Buffer.concat([Buffer.from(`${context}\0`), bytes]);
}
