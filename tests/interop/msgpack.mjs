// msgpack as docs/protocol.md has it: nil, bool, int, str, bin, array and map. Frames may be any
// spelling of it, records only the canonical one.

export const MAX_DEPTH = 6;
const MAX_ITEMS = 512;
const KEY = /^[a-z0-9_]{1,24}$/;

// `ignoreBOM` keeps a leading U+FEFF, which is text like any other.
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function encode(value) {
  if (value === null) return Buffer.of(0xc0);
  if (value === false) return Buffer.of(0xc2);
  if (value === true) return Buffer.of(0xc3);
  if (typeof value === "number") return encodedInteger(value);
  if (typeof value === "string") {
    const text = Buffer.from(value, "utf-8");
    return Buffer.concat([textHead(text.length), text]);
  }
  if (value instanceof Uint8Array) {
    return Buffer.concat([sized(value.length, [0xc4, 1], [0xc5, 2], [0xc6, 4]), value]);
  }
  if (Array.isArray(value)) {
    return Buffer.concat([containerHead(value.length, 0x90, 0xdc), ...value.map(encode)]);
  }
  const keys = Object.keys(value).sort();
  const entries = keys.flatMap((key) => [encode(key), encode(value[key])]);
  return Buffer.concat([containerHead(keys.length, 0x80, 0xde), ...entries]);
}

export function decode(bytes) {
  const reader = new Reader(bytes);
  const value = reader.value(MAX_DEPTH);
  if (!reader.isAtEnd) throw new Error("bytes after the value");
  return value;
}

export function decodeCanonical(bytes) {
  const value = decode(bytes);
  check(value);
  // Unsorted or double keys and numbers or lengths in too many bytes all end here.
  if (!encode(value).equals(bytes)) throw new Error("not in canonical form");
  return value;
}

function check(value) {
  if (typeof value === "string" && value.normalize("NFC") !== value) {
    throw new Error("text that is not NFC");
  }
  if (value === null || typeof value !== "object" || value instanceof Uint8Array) return;
  const items = Object.values(value);
  if (items.length > MAX_ITEMS) throw new Error("too many items");
  if (!Array.isArray(value) && !Object.keys(value).every((key) => KEY.test(key))) {
    throw new Error("a key that is none");
  }
  items.forEach(check);
}

function encodedInteger(value) {
  if (!Number.isSafeInteger(value)) throw new Error(`${value} is no integer below 2^53`);
  if (value >= 0) {
    if (value < 0x80) return Buffer.of(value);
    return sized(value, [0xcc, 1], [0xcd, 2], [0xce, 4], [0xcf, 8]);
  }
  if (value >= -0x20) return Buffer.of(0x100 + value);
  for (const [head, size] of [[0xd0, 1], [0xd1, 2], [0xd2, 4]]) {
    if (value >= -(2 ** (8 * size - 1))) {
      const bytes = Buffer.alloc(1 + size, head);
      bytes.writeIntBE(value, 1, size);
      return bytes;
    }
  }
  const bytes = Buffer.alloc(9, 0xd3);
  bytes.writeBigInt64BE(BigInt(value), 1);
  return bytes;
}

function textHead(length) {
  return length < 32 ? Buffer.of(0xa0 + length) : sized(length, [0xd9, 1], [0xda, 2], [0xdb, 4]);
}

function containerHead(length, short, long) {
  return length < 16 ? Buffer.of(short + length) : sized(length, [long, 2], [long + 1, 4]);
}

// A number from 0 on behind the first of these [head, bytes] that has room for it.
function sized(number, ...forms) {
  const [head, size] = forms.find(([, bytes]) => number < 2 ** (8 * bytes));
  const bytes = Buffer.alloc(1 + size, head);
  if (size === 8) bytes.writeBigUInt64BE(BigInt(number), 1);
  else bytes.writeUIntBE(number, 1, size);
  return bytes;
}

class Reader {
  #bytes;
  #at = 0;

  constructor(bytes) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  get isAtEnd() {
    return this.#at === this.#bytes.length;
  }

  value(depth) {
    const head = this.#take(1)[0];
    if (head < 0x80) return head;
    if (head < 0x90) return this.#map(head - 0x80, depth);
    if (head < 0xa0) return this.#array(head - 0x90, depth);
    if (head < 0xc0) return utf8.decode(this.#take(head - 0xa0));
    if (head >= 0xe0) return head - 0x100;
    switch (head) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4: case 0xc5: case 0xc6: return this.#take(this.#unsigned(2 ** (head - 0xc4)));
      case 0xcc: case 0xcd: case 0xce: case 0xcf: return this.#unsigned(2 ** (head - 0xcc));
      case 0xd0: case 0xd1: case 0xd2: case 0xd3: return this.#signed(2 ** (head - 0xd0));
      case 0xd9: case 0xda: case 0xdb:
        return utf8.decode(this.#take(this.#unsigned(2 ** (head - 0xd9))));
      case 0xdc: case 0xdd: return this.#array(this.#unsigned(2 ** (head - 0xdb)), depth);
      case 0xde: case 0xdf: return this.#map(this.#unsigned(2 ** (head - 0xdd)), depth);
      default: throw new Error(`0x${head.toString(16)}: a float, an extension or nothing`);
    }
  }

  #array(count, depth) {
    this.#enter(depth);
    const items = [];
    for (let number = 0; number < count; number++) items.push(this.value(depth - 1));
    return items;
  }

  #map(count, depth) {
    this.#enter(depth);
    // Without a prototype: `__proto__` is a key like any other.
    const map = Object.create(null);
    for (let number = 0; number < count; number++) {
      const key = this.value(0);
      if (typeof key !== "string") throw new Error("a key that is no text");
      map[key] = this.value(depth - 1);
    }
    return map;
  }

  #enter(depth) {
    if (depth === 0) throw new Error(`nested deeper than ${MAX_DEPTH}`);
  }

  #unsigned(size) {
    const bytes = this.#take(size);
    return safe(size === 8 ? bytes.readBigUInt64BE() : bytes.readUIntBE(0, size));
  }

  #signed(size) {
    const bytes = this.#take(size);
    return safe(size === 8 ? bytes.readBigInt64BE() : bytes.readIntBE(0, size));
  }

  #take(size) {
    if (this.#at + size > this.#bytes.length) throw new Error("the bytes end too early");
    const bytes = this.#bytes.subarray(this.#at, this.#at + size);
    this.#at += size;
    return bytes;
  }
}

function safe(integer) {
  const number = Number(integer);
  if (!Number.isSafeInteger(number)) throw new Error("an integer of 2^53 or more");
  return number;
}
