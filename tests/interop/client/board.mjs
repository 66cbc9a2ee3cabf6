// node board.mjs FILE: computes leaderboards as "Leaderboards" of docs/protocol.md says, and prints JSON.
//
// FILE holds one world or a list of them: {records: [wire in hex], task: id in hex, class, net (default
// "main"), manifest: its canonical encoding in hex (by default, that of a task record among them)}.
// The answer has for each {rows, board_digest, set_digest}; bytes are in hex.

import { readFileSync } from "node:fs";
import { decode } from "./encoding.mjs";
import { hex, readRecords } from "./board_records.mjs";
import { leaderboard } from "./board_rows.mjs";
import { readTask } from "./board_task.mjs";
import { taskOf } from "./trees.mjs";

function manifestOf(world, records) {
  if (world.manifest) return decode(Buffer.from(world.manifest, "hex"));
  const isIt = (record) => record.kind === "task" && hex(taskOf(record.body)) === world.task;
  const found = records.find(isIt);
  if (!found) throw new Error(`no manifest of task ${world.task}`);
  return found.body;
}

function plain(value) {
  if (typeof value === "bigint") return Number(value);
  if (Buffer.isBuffer(value)) return hex(value);
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Map) return plain(Object.fromEntries(value));
  if (value !== null && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
  }
  return value;
}

export function boardOf(world) {
  const records = readRecords(world.records.map((wire) => Buffer.from(wire, "hex")), world.net ?? "main");
  const task = readTask(manifestOf(world, records));
  return plain(leaderboard(records, world.task, task, world.class));
}

const given = JSON.parse(readFileSync(process.argv[2], "utf8"));
const answer = Array.isArray(given) ? given.map(boardOf) : boardOf(given);
process.stdout.write(JSON.stringify(answer) + "\n");
