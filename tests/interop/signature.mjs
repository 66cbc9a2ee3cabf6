// Which signatures hold, as docs/protocol.md says: points of prime order in their one spelling, S
// below the order, and the equation without the cofactor, which Node (OpenSSL) looks at.

import { createPublicKey, verify } from "node:crypto";

const P = 2n ** 255n - 19n;
const L = 2n ** 252n + 27742317777372353535851937790883648493n;
const KEY_BYTES = 32;
const D = mod(-121665n * power(121666n, P - 2n));
const ROOT_OF_MINUS_1 = power(2n, (P - 1n) / 4n);
const SIGN = 1n << 255n;

const known = new Map();

// Whether 32 bytes are a key; authors sign more than one record.
export function isKey(bytes) {
  const spelling = Buffer.from(bytes).toString("hex");
  if (!known.has(spelling)) known.set(spelling, isOfPrimeOrder(bytes));
  return known.get(spelling);
}

export function isSigned(key, message, signature) {
  if (key.length !== KEY_BYTES || signature.length !== 2 * KEY_BYTES || !isKey(key)) return false;
  if (!isOfPrimeOrder(signature.subarray(0, KEY_BYTES))) return false;
  if (littleEndian(signature.subarray(KEY_BYTES)) >= L) return false;
  const x = Buffer.from(key).toString("base64url");
  const jwk = { kty: "OKP", crv: "Ed25519", x };
  return verify(null, message, createPublicKey({ key: jwk, format: "jwk" }), signature);
}

function isOfPrimeOrder(bytes) {
  const point = decode(bytes);
  return point !== null && !isNeutral(point) && isNeutral(times(L, point));
}

// The point with these canonical bytes as [X, Y, Z, T], x being X/Z, y Y/Z and xy T/Z; or null.
function decode(bytes) {
  const number = littleEndian(bytes);
  const y = number % SIGN;
  if (y >= P) return null;
  const square = mod((y * y - 1n) * power(mod(D * y * y + 1n), P - 2n));
  const root = power(square, (P + 3n) / 8n);
  const x = [root, mod(root * ROOT_OF_MINUS_1)].find((one) => mod(one * one) === square);
  if (x === undefined || (x === 0n && number >= SIGN)) return null;
  const signed = (x & 1n) === number / SIGN ? x : P - x;
  return [signed, y, 1n, mod(signed * y)];
}

function times(scalar, point) {
  let total = [0n, 1n, 1n, 0n];
  for (const digit of scalar.toString(2)) {
    total = sum(total, total);
    if (digit === "1") total = sum(total, point);
  }
  return total;
}

function sum([x1, y1, z1, t1], [x2, y2, z2, t2]) {
  const crossed = x1 * y2 + x2 * y1;
  const straight = y1 * y2 + x1 * x2;
  const twisted = mod(D * mod(t1 * t2));
  const [less, more] = [mod(z1 * z2) - twisted, mod(z1 * z2) + twisted];
  const [across, along] = [mod(crossed), mod(straight)];
  return [mod(across * less), mod(along * more), mod(less * more), mod(across * along)];
}

function isNeutral([x, y, z]) {
  return x === 0n && y === z;
}

function power(base, exponent) {
  let result = 1n;
  for (const digit of exponent.toString(2)) {
    result = mod(result * result);
    if (digit === "1") result = mod(result * base);
  }
  return result;
}

function mod(number) {
  const rest = number % P;
  return rest < 0n ? rest + P : rest;
}

function littleEndian(bytes) {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString("hex")}`);
}
