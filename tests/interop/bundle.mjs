// Reads a bundle as docs/protocol.md describes it: a zip file, of which only what is needed is read.

import { inflateRawSync } from "node:zlib";

import { readRecord, sha256 } from "./record.mjs";
import { hex } from "./talk.mjs";

const END = 0x06054b50;
const ENTRY = 0x02014b50;
const END_BYTES = 22;
const ENTRY_BYTES = 46;
const LOCAL_BYTES = 30;
const BLOB_BYTES = 1 << 20;
const NAME = /^(records|blobs)\/[0-9a-f]{64}$/;

export function readBundle(file) {
  const records = new Map();
  const blobs = new Map();
  let manifest;
  for (const [name, data] of entriesOf(file)) {
    const digits = name.slice(name.indexOf("/") + 1);
    if (name === "manifest.json") {
      manifest = JSON.parse(data.toString("utf8"));
    } else if (!NAME.test(name)) {
      throw new Error(`an entry called ${name}`);
    } else if (name.startsWith("records/")) {
      const record = readRecord(data);
      if (hex(record.id) !== digits) throw new Error(`record ${digits} has another id`);
      records.set(digits, record);
    } else {
      if (hex(sha256(data)) !== digits) throw new Error(`blob ${digits} has another hash`);
      blobs.set(digits, data);
    }
  }
  if (manifest?.format !== "arnode-bundle/1") throw new Error("no manifest of a bundle");
  if (!records.has(manifest.about)) throw new Error("what it is about is not in it");
  return { about: manifest.about, records, blobs };
}

function* entriesOf(file) {
  const end = file.lastIndexOf(Buffer.from("504b0506", "hex"));
  if (end < 0 || file.readUInt32LE(end) !== END || end + END_BYTES > file.length) {
    throw new Error("not a zip file");
  }
  let at = file.readUInt32LE(end + 16);
  for (let left = file.readUInt16LE(end + 10); left > 0; left--) {
    if (file.readUInt32LE(at) !== ENTRY) throw new Error("not an entry of a zip file");
    const [method, size, length, extra, comment, start] = [
      file.readUInt16LE(at + 10),
      file.readUInt32LE(at + 20),
      file.readUInt16LE(at + 28),
      file.readUInt16LE(at + 30),
      file.readUInt16LE(at + 32),
      file.readUInt32LE(at + 42),
    ];
    const name = file.toString("utf8", at + ENTRY_BYTES, at + ENTRY_BYTES + length);
    const from = start + LOCAL_BYTES + file.readUInt16LE(start + 26) + file.readUInt16LE(start + 28);
    const packed = file.subarray(from, from + size);
    if (method !== 0 && method !== 8) throw new Error(`${name} is compressed otherwise`);
    yield [name, method === 8 ? inflateRawSync(packed, { maxOutputLength: BLOB_BYTES }) : packed];
    at += ENTRY_BYTES + length + extra + comment;
  }
}
