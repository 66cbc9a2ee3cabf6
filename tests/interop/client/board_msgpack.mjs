// MessagePack for leaderboards: "Encoding" of docs/protocol.md, read leniently.
// Maps become Map, integers BigInt, bin Buffer. Whoever reads wires from strangers checks them first.

class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  take(length) {
    if (this.at + length > this.bytes.length) throw new Error("msgpack ends too early");
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  unsigned(length) {
    const bytes = this.take(length);
    return length === 8 ? bytes.readBigUInt64BE() : BigInt(bytes.readUIntBE(0, length));
  }

  length(bytes) {
    return this.take(bytes).readUIntBE(0, bytes);
  }

  array(length) {
    return Array.from({ length }, () => this.value());
  }

  map(length) {
    const found = new Map();
    for (let entry = 0; entry < length; entry++) {
      const key = this.value();
      found.set(key, this.value());
    }
    return found;
  }

  value() {
    const type = this.length(1);
    if (type < 0x80) return BigInt(type);
    if (type < 0x90) return this.map(type & 0x0f);
    if (type < 0xa0) return this.array(type & 0x0f);
    if (type < 0xc0) return this.take(type & 0x1f).toString("utf8");
    if (type >= 0xe0) return BigInt(type - 0x100);
    switch (type) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4: case 0xc5: case 0xc6: return this.take(this.length(1 << (type - 0xc4)));
      case 0xcc: case 0xcd: case 0xce: case 0xcf: return this.unsigned(1 << (type - 0xcc));
      case 0xd0: case 0xd1: case 0xd2: case 0xd3: {
        const size = 1 << (type - 0xd0);
        return BigInt.asIntN(8 * size, this.unsigned(size));
      }
      case 0xd9: case 0xda: case 0xdb: return this.take(this.length(1 << (type - 0xd9))).toString("utf8");
      case 0xdc: case 0xdd: return this.array(this.length(2 << (type - 0xdc)));
      case 0xde: case 0xdf: return this.map(this.length(2 << (type - 0xde)));
      default: throw new Error(`msgpack type ${type}`);
    }
  }
}

export function decode(bytes) {
  const reader = new Reader(bytes);
  const value = reader.value();
  if (reader.at !== bytes.length) throw new Error("bytes after the msgpack value");
  return value;
}

function bigEndian(value, length) {
  const hex = BigInt.asUintN(8 * length, value).toString(16).padStart(2 * length, "0");
  return Buffer.from(hex, "hex");
}

// A type byte and a length in the fewest bytes; `types` are those for 1, 2 and 4 bytes (0: there is none).
function head(length, short, shortest, types) {
  if (length < short) return Buffer.from([shortest | length]);
  for (const [place, type] of types.entries()) {
    const size = 1 << place;
    if (type && length < 2 ** (8 * size)) return Buffer.concat([Buffer.from([type]), bigEndian(BigInt(length), size)]);
  }
  throw new Error("too long for msgpack");
}

function encodeInteger(value) {
  if (value >= 0n && value < 0x80n) return Buffer.from([Number(value)]);
  if (value < 0n && value >= -32n) return Buffer.from([Number(value) + 0x100]);
  for (let place = 0; place < 4; place++) {
    const size = 1 << place;
    const fits = value >= 0n ? BigInt.asUintN(8 * size, value) : BigInt.asIntN(8 * size, value);
    if (fits === value) {
      return Buffer.concat([Buffer.from([(value >= 0n ? 0xcc : 0xd0) + place]), bigEndian(value, size)]);
    }
  }
  throw new Error("integer too large for msgpack");
}

// The canonical encoding of a value.
export function encode(value) {
  if (value === null) return Buffer.from([0xc0]);
  if (typeof value === "boolean") return Buffer.from([value ? 0xc3 : 0xc2]);
  if (typeof value === "bigint") return encodeInteger(value);
  if (typeof value === "string") {
    const bytes = Buffer.from(value, "utf8");
    return Buffer.concat([head(bytes.length, 32, 0xa0, [0xd9, 0xda, 0xdb]), bytes]);
  }
  if (Buffer.isBuffer(value)) return Buffer.concat([head(value.length, 0, 0, [0xc4, 0xc5, 0xc6]), value]);
  if (Array.isArray(value)) {
    return Buffer.concat([head(value.length, 16, 0x90, [0, 0xdc, 0xdd]), ...value.map(encode)]);
  }
  if (value instanceof Map) {
    const keys = [...value.keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    const entries = keys.flatMap((key) => [encode(key), encode(value.get(key))]);
    return Buffer.concat([head(value.size, 16, 0x80, [0, 0xde, 0xdf]), ...entries]);
  }
  throw new Error(`no msgpack for ${typeof value}`);
}
