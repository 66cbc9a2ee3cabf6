// "Signatures" of docs/protocol.md: Ed25519 with points of prime order only, and seeds' keys.

import {
  createHash, createPrivateKey, createPublicKey, sign as makeSignature, verify,
} from "node:crypto";

const P = 2n ** 255n - 19n;
const L = 2n ** 252n + 27742317777372353535851937790883648493n;
const SECRET = Buffer.from("302e020100300506032b657004220420", "hex"); // DER before a seed
const PUBLIC = Buffer.from("302a300506032b6570032100", "hex"); // DER before a public key

const mod = (a, m = P) => ((a % m) + m) % m;

function power(base, exponent) {
  let result = 1n;
  for (let left = exponent, square = mod(base); left > 0n; left >>= 1n) {
    if (left & 1n) result = (result * square) % P;
    square = (square * square) % P;
  }
  return result;
}

const inverse = (a) => power(a, P - 2n);
const D = mod(-121665n * inverse(121666n));
const ROOT_OF_MINUS_ONE = power(2n, (P - 1n) / 4n);
const NEUTRAL = [0n, 1n, 1n, 0n]; // X, Y, Z, T with x = X/Z, y = Y/Z, xy = T/Z

function fromBytes(bytes) {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString("hex")}`);
}

function add([x1, y1, z1, t1], [x2, y2, z2, t2]) {
  const a = mod((y1 - x1) * (y2 - x2));
  const b = mod((y1 + x1) * (y2 + x2));
  const c = mod(2n * D * t1 * t2);
  const d = mod(2n * z1 * z2);
  const [e, f, g, h] = [b - a, d - c, d + c, b + a];
  return [mod(e * f), mod(g * h), mod(f * g), mod(e * h)];
}

function times(scalar, point) {
  let result = NEUTRAL;
  for (let left = scalar, double = point; left > 0n; left >>= 1n) {
    if (left & 1n) result = add(result, double);
    double = add(double, double);
  }
  return result;
}

function same([x1, y1, z1], [x2, y2, z2]) {
  return mod(x1 * z2 - x2 * z1) === 0n && mod(y1 * z2 - y2 * z1) === 0n;
}

function pointOf(bytes) {
  const all = fromBytes(bytes);
  const y = all & ((1n << 255n) - 1n);
  const isOdd = all >> 255n;
  if (y >= P) return null;
  const square = mod((y * y - 1n) * inverse(D * y * y + 1n));
  let x = power(square, (P + 3n) / 8n);
  if (mod(x * x - square) !== 0n) x = mod(x * ROOT_OF_MINUS_ONE);
  if (mod(x * x - square) !== 0n) return null;
  if (x === 0n && isOdd) return null;
  if ((x & 1n) !== isOdd) x = P - x;
  return [x, y, 1n, mod(x * y)];
}

const BASE = pointOf(Buffer.concat([Buffer.of(0x58), Buffer.alloc(31, 0x66)])); // y = 4/5, x even
const known = new Map();

/** Return the point of prime order that these 32 bytes encode, or null. */
function primePoint(bytes) {
  const name = Buffer.from(bytes).toString("hex");
  if (!known.has(name)) {
    const point = pointOf(bytes);
    const isPrime = point && !same(point, NEUTRAL) && same(times(L, point), NEUTRAL);
    known.set(name, isPrime ? point : null);
  }
  return known.get(name);
}

/** Return whether these bytes are a key: the encoding of a point of prime order. */
export const isKey = (bytes) => bytes.length === 32 && primePoint(bytes) !== null;

/** Return the step at which a signature fails, or null: "length", "A", "R", "S", "equation". */
export function faultOf(key, message, signature) {
  if (key.length !== 32 || signature.length !== 64) return "length";
  const a = primePoint(key);
  if (a === null) return "A";
  const half = signature.subarray(0, 32);
  const r = primePoint(half);
  if (r === null) return "R";
  const s = fromBytes(signature.subarray(32));
  if (s >= L) return "S";
  const hash = createHash("sha512").update(half).update(key).update(message).digest();
  const k = fromBytes(hash) % L;
  return same(times(s, BASE), add(r, times(k, a))) ? null : "equation";
}

export const holds = (key, message, signature) => faultOf(key, message, signature) === null;

/** Return what Node itself says of a signature; it makes only some of the steps. */
export function nodeHolds(key, message, signature) {
  const spki = createPublicKey({ key: Buffer.concat([PUBLIC, key]), format: "der", type: "spki" });
  return verify(null, message, spki, signature);
}

const secretOf = (seed) =>
  createPrivateKey({ key: Buffer.concat([SECRET, seed]), format: "der", type: "pkcs8" });

/** Return the public key of a seed. */
export function keyOf(seed) {
  return createPublicKey(secretOf(seed)).export({ format: "der", type: "spki" }).subarray(-32);
}

/** Sign a message with the key of a seed. */
export const sign = (seed, message) => makeSignature(null, message, secretOf(seed));
