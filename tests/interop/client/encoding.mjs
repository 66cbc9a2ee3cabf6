// "Encoding" of docs/protocol.md: msgpack in its one canonical form.
// Integers are BigInts, byte strings Uint8Arrays, arrays Arrays and maps Maps.

import { Invalid } from "./invalid.mjs";
import { isNormal } from "./text.mjs";

export const LARGEST = 2n ** 53n - 1n;
const DEEPEST = 6;
const MOST_ITEMS = 512;
const KEY = /^[a-z0-9_]{1,24}$/;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Return the canonical bytes of a value, or throw an Invalid. */
export function encode(value) {
  const parts = [];
  write(value, 0, parts);
  return Buffer.concat(parts);
}

/** Return the value that these bytes encode canonically, or throw an Invalid. */
export function decode(bytes) {
  const reader = new Reader(bytes);
  const value = reader.value(0);
  if (reader.at !== bytes.length) throw new Invalid("", "bytes after the value");
  if (Buffer.compare(encode(value), bytes) !== 0) throw new Invalid("", "not in canonical form");
  return value;
}

/** Compare two texts by their code points. */
export const byCodePoints = (a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b));

function write(value, depth, parts) {
  const deeper = (count) => {
    if (depth === DEEPEST) throw new Invalid("", "nested too deep");
    if (count > MOST_ITEMS) throw new Invalid("", "too many items");
  };
  if (value === null) parts.push(Buffer.of(0xc0));
  else if (typeof value === "boolean") parts.push(Buffer.of(value ? 0xc3 : 0xc2));
  else if (typeof value === "bigint") parts.push(integer(value));
  else if (typeof value === "string") {
    if (!value.isWellFormed()) throw new Invalid("", "a surrogate");
    if (!isNormal(value)) throw new Invalid("", "text that is not NFC");
    const bytes = Buffer.from(value);
    parts.push(head(bytes.length, 0xa0, 32, [0xd9, 0xda, 0xdb]), bytes);
  } else if (value instanceof Uint8Array) {
    parts.push(head(value.length, 0, 0, [0xc4, 0xc5, 0xc6]), value);
  } else if (Array.isArray(value)) {
    deeper(value.length);
    parts.push(head(value.length, 0x90, 16, [null, 0xdc, 0xdd]));
    for (const one of value) write(one, depth + 1, parts);
  } else if (value instanceof Map) {
    deeper(value.size);
    parts.push(head(value.size, 0x80, 16, [null, 0xde, 0xdf]));
    for (const key of value.keys()) {
      if (typeof key !== "string" || !KEY.test(key)) throw new Invalid("", "a map key");
    }
    for (const key of [...value.keys()].sort(byCodePoints)) {
      write(key, depth + 1, parts);
      write(value.get(key), depth + 1, parts);
    }
  } else throw new Invalid("", `a value of type ${typeof value}`);
}

/** Return the first bytes of a value, which hold its length; below `few`, one byte does. */
function head(length, fixed, few, [one, two, four]) {
  if (length < few) return Buffer.of(fixed | length);
  if (one !== null && length < 256) return Buffer.of(one, length);
  const bytes = Buffer.alloc(length < 65536 ? 3 : 5);
  if (length < 65536) bytes.writeUInt16BE(length, 1);
  else bytes.writeUInt32BE(length, 1);
  bytes[0] = length < 65536 ? two : four;
  return bytes;
}

function integer(value) {
  if (value > LARGEST || value < -LARGEST) throw new Invalid("", "a number of 2^53 or more");
  if (value >= 0n && value < 128n) return Buffer.of(Number(value));
  if (value < 0n && value >= -32n) return Buffer.of(Number(256n + value));
  const size = [1, 2, 4, 8].find((bytes) =>
    value < 0n
      ? value >= -(1n << BigInt(8 * bytes - 1))
      : value < 1n << BigInt(8 * bytes),
  );
  const bits = 8 * size;
  const first = (value < 0n ? 0xd0 : 0xcc) + Math.log2(size);
  const digits = BigInt.asUintN(bits, value).toString(16).padStart(2 * size, "0");
  return Buffer.concat([Buffer.of(first), Buffer.from(digits, "hex")]);
}

class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  take(count) {
    if (count > this.bytes.length - this.at) throw new Invalid("", "cut short");
    this.at += count;
    return this.bytes.subarray(this.at - count, this.at);
  }

  number(size, signed = false) {
    const value = BigInt(`0x${Buffer.from(this.take(size)).toString("hex")}`);
    return signed ? BigInt.asIntN(8 * size, value) : value;
  }

  length(size) {
    return Number(this.number(size));
  }

  value(depth) {
    const first = this.take(1)[0];
    if (first < 0x80) return BigInt(first);
    if (first < 0x90) return this.map(first & 15, depth);
    if (first < 0xa0) return this.array(first & 15, depth);
    if (first < 0xc0) return this.text(first & 31);
    if (first >= 0xe0) return BigInt(first) - 256n;
    if (first === 0xc0) return null;
    if (first === 0xc2 || first === 0xc3) return first === 0xc3;
    if (first >= 0xc4 && first <= 0xc6) return this.take(this.length(1 << (first - 0xc4)));
    if (first >= 0xcc && first <= 0xcf) return this.number(1 << (first - 0xcc));
    if (first >= 0xd0 && first <= 0xd3) return this.number(1 << (first - 0xd0), true);
    if (first >= 0xd9 && first <= 0xdb) return this.text(this.length(1 << (first - 0xd9)));
    const long = 2 << (first & 1);
    if (first === 0xdc || first === 0xdd) return this.array(this.length(long), depth);
    if (first === 0xde || first === 0xdf) return this.map(this.length(long), depth);
    throw new Invalid("", `the format ${first.toString(16)}`); // floats, extensions, c1
  }

  text(length) {
    const bytes = this.take(length);
    try {
      return utf8.decode(bytes);
    } catch {
      throw new Invalid("", "text that is not UTF-8");
    }
  }

  enter(count, depth) {
    if (depth === DEEPEST) throw new Invalid("", "nested too deep");
    if (count > MOST_ITEMS) throw new Invalid("", "too many items");
  }

  array(count, depth) {
    this.enter(count, depth);
    return Array.from({ length: count }, () => this.value(depth + 1));
  }

  map(count, depth) {
    this.enter(count, depth);
    const map = new Map();
    for (let i = 0; i < count; i++) {
      const key = this.value(depth + 1);
      if (typeof key !== "string") throw new Invalid("", "a map key that is no text");
      if (map.has(key)) throw new Invalid("", "a map key twice");
      map.set(key, this.value(depth + 1));
    }
    return map;
  }
}
