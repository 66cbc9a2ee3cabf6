// Both sides of a reconciliation, as docs/protocol.md describes it.

import { sha256 } from "./record.mjs";

const VERSION = 0x61;
const NOTHING = 0;
const FINGERPRINT = 1;
const IDS = 2;
const FINGERPRINT_BYTES = 16;
const ID_BYTES = 32;
const PARTS = 16;
const FEW = 32;
const MAX_ROUNDS = 1_000;
const MAX_IDS = 100_000;
const LIMIT_BYTES = 131_072;
// What may still follow a range: a skip, and the fingerprint that closes a full message.
const CLOSING_BYTES = 128;
const NO_BOUND = { time: Infinity, prefix: Buffer.alloc(0) };

export class Reconciliation {
  have = [];
  need = [];
  #records;
  #limit;
  #rounds = 0;

  // `records` are {ts, id}, in any order.
  constructor(records, limit = LIMIT_BYTES) {
    this.#records = sortedBy(records);
    this.#limit = limit;
  }

  open() {
    const message = new Message(this.#records, this.#limit);
    message.split(0, this.#records.length, NO_BOUND);
    return message.bytes();
  }

  // The next message, or null when nothing is left to say.
  receive(answer) {
    if (++this.#rounds > MAX_ROUNDS) throw new Error("it does not come to an end");
    const message = new Message(this.#records, this.#limit);
    let start = 0;
    for (const { bound, mode, payload } of rangesOf(answer)) {
      if (message.isFull) break; // what is left is in its last fingerprint
      const stop = positionOf(this.#records, bound, start);
      if (mode === IDS) this.#compare(start, stop, payload);
      if (mode === FINGERPRINT && !payload.equals(fingerprint(this.#records, start, stop))) {
        message.split(start, stop, bound);
      } else {
        message.skip(bound);
      }
      start = stop;
    }
    if (this.have.length + this.need.length > MAX_IDS) throw new Error("too many differences");
    return message.isEmpty ? null : message.bytes();
  }

  #compare(start, stop, theirs) {
    const missing = new Map(theirs.map((id) => [id.toString("hex"), id]));
    for (const { id } of this.#records.slice(start, stop)) {
      if (!missing.delete(Buffer.from(id).toString("hex"))) this.have.push(id);
    }
    this.need.push(...missing.values());
  }
}

// The responder's answer to one message.
export function respond(records, question, limit = LIMIT_BYTES) {
  const sorted = sortedBy(records);
  const message = new Message(sorted, limit);
  let start = 0;
  for (const { bound, mode, payload } of rangesOf(question)) {
    if (message.isFull) break;
    const stop = positionOf(sorted, bound, start);
    if (mode === IDS) message.ids(start, stop, bound);
    else if (mode === FINGERPRINT && !payload.equals(fingerprint(sorted, start, stop))) {
      message.split(start, stop, bound);
    } else message.skip(bound);
    start = stop;
  }
  return message.bytes();
}

// What a hello tells of a topic.
export function digestOf(records) {
  return [records.length, sumOf(records)];
}

function sortedBy(records) {
  return [...records].sort((a, b) => a.ts - b.ts || Buffer.compare(a.id, b.id));
}

// The position of the first record, from `start` on, that is not below the bound.
function positionOf(records, { time, prefix }, start) {
  const isBelow = ({ ts, id }) => ts < time || (ts === time && Buffer.compare(id, prefix) < 0);
  let position = start;
  while (position < records.length && isBelow(records[position])) position++;
  return position;
}

class Message {
  isFull = false;
  #records;
  #limit;
  #parts = [Buffer.of(VERSION)];
  #size = 1;
  #time = 0;
  #skipped = null;

  constructor(records, limit) {
    this.#records = records;
    this.#limit = limit;
  }

  get isEmpty() {
    return this.#size === 1;
  }

  bytes() {
    return Buffer.concat(this.#parts);
  }

  skip(bound) {
    this.#skipped = bound;
  }

  split(start, stop, bound) {
    const count = stop - start;
    if (count < FEW) {
      this.ids(start, stop, bound);
      return;
    }
    for (let part = 1, from = start; part <= PARTS; part++) {
      const to = start + Math.floor((count * part) / PARTS);
      const edge = to === stop ? bound : this.#between(to);
      this.#range(from, edge, this.#fingerprint(from, to));
      from = to;
    }
  }

  ids(start, stop, bound) {
    const ids = this.#records.slice(start, stop).map(({ id }) => id);
    this.#range(start, bound, Buffer.concat([Buffer.of(IDS), varint(stop - start), ...ids]));
  }

  #range(start, bound, payload) {
    if (this.isFull) return;
    if (this.#skipped !== null) {
      this.#write(this.#skipped, Buffer.of(NOTHING));
      this.#skipped = null;
    }
    const size = payload.length + ID_BYTES + CLOSING_BYTES;
    this.isFull = this.#size + size > this.#limit;
    if (this.isFull) this.#write(NO_BOUND, this.#fingerprint(start, this.#records.length));
    else this.#write(bound, payload);
  }

  #write({ time, prefix }, payload) {
    const step = time === Infinity ? 0 : time - this.#time + 1;
    const part = Buffer.concat([varint(step), varint(prefix.length), prefix, payload]);
    this.#parts.push(part);
    this.#size += part.length;
    this.#time = time;
  }

  #fingerprint(start, stop) {
    return Buffer.concat([Buffer.of(FINGERPRINT), fingerprint(this.#records, start, stop)]);
  }

  // The shortest bound that has the record at a position above it and the one before below.
  #between(position) {
    const [left, right] = this.#records.slice(position - 1, position + 1);
    if (left.ts !== right.ts) return { time: right.ts, prefix: Buffer.alloc(0) };
    const length = right.id.findIndex((byte, at) => byte !== left.id[at]) + 1;
    return { time: right.ts, prefix: right.id.subarray(0, length) };
  }
}

function fingerprint(records, start, stop) {
  const summed = sumOf(records.slice(start, stop));
  return sha256(summed, varint(stop - start)).subarray(0, FINGERPRINT_BYTES);
}

// The sum of ids, read little-endian, mod 2^256.
function sumOf(records) {
  let sum = 0n;
  for (const { id } of records) {
    sum += BigInt(`0x${Buffer.from(id).reverse().toString("hex")}`);
  }
  const digits = BigInt.asUintN(256, sum).toString(16).padStart(2 * ID_BYTES, "0");
  return Buffer.from(digits, "hex").reverse();
}

function* rangesOf(bytes) {
  if (bytes[0] !== VERSION) throw new Error("not negentropy's version 1");
  let at = 1;
  let time = 0;
  const take = (size) => {
    if (at + size > bytes.length) throw new Error("the message ends too early");
    return bytes.subarray(at, (at += size));
  };
  const number = () => {
    let value = 0;
    for (let byte = 0x80; byte >= 0x80; ) {
      [byte] = take(1);
      value = value * 0x80 + (byte & 0x7f);
      if (!Number.isSafeInteger(value)) throw new Error("a number of 2^53 or more");
    }
    return value;
  };
  while (at < bytes.length) {
    const step = number();
    time = step === 0 ? Infinity : time + step - 1;
    const bound = { time, prefix: take(number()) };
    const mode = number();
    if (mode > IDS) throw new Error("a mode that is none");
    let payload = null;
    if (mode === FINGERPRINT) payload = take(FINGERPRINT_BYTES);
    if (mode === IDS) payload = Array.from({ length: number() }, () => take(ID_BYTES));
    yield { bound, mode, payload };
  }
}

// Base 128, the most significant digit first; times are beyond what bit operators hold.
function varint(number) {
  const digits = [number % 0x80];
  for (let rest = Math.floor(number / 0x80); rest > 0; rest = Math.floor(rest / 0x80)) {
    digits.unshift(0x80 + (rest % 0x80));
  }
  return Buffer.from(digits);
}
