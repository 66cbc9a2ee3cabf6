// What needs no peer: reading and making records, judging signatures, reading a bundle, what pairs
// bear out, and a reconciliation through the test.

import { readFileSync } from "node:fs";

import { readBundle } from "./bundle.mjs";
import { readRecord, signRecord } from "./record.mjs";
import { Reconciliation } from "./negentropy.mjs";
import { isSigned } from "./signature.mjs";
import { bearsOut } from "./evidence.mjs";
import { receive, hex, say, stop, unhex } from "./talk.mjs";

async function records() {
  const { seed, wires } = await receive();
  for (const wire of wires.map(unhex)) {
    try {
      const { id, wire: _, author: __, v: ___, ...fields } = readRecord(wire);
      say("valid", { id: hex(id), again: hex(signRecord(unhex(seed), fields)) });
    } catch (fault) {
      say("invalid", { why: fault.message });
    }
  }
}

async function signatures() {
  for (const { public: key, message, signature } of (await receive()).cases) {
    say("judged", { holds: isSigned(unhex(key), unhex(message), unhex(signature)) });
  }
}

async function bundle() {
  for (const path of (await receive()).paths) {
    try {
      const { about, records, blobs } = readBundle(readFileSync(path));
      const kinds = [...records].map(([id, { kind }]) => [id, kind]);
      const sizes = [...blobs].map(([hash, { length }]) => [hash, length]);
      say("whole", { about, records: Object.fromEntries(kinds), blobs: Object.fromEntries(sizes) });
    } catch (fault) {
      say("broken", { why: fault.message });
    }
  }
}

async function reconcile() {
  const { keys, limit } = await receive();
  const records = keys.map(([ts, id]) => ({ ts, id: unhex(id) }));
  const reconciliation = new Reconciliation(records, limit);
  let message = reconciliation.open();
  while (message !== null) {
    say("asks", { message: hex(message) });
    message = reconciliation.receive(unhex((await receive()).message));
  }
  say("knows", { have: reconciliation.have.map(hex), need: reconciliation.need.map(hex) });
}

async function evidence() {
  for (const { pairs, noise, least } of (await receive()).cases) {
    say("borne", bearsOut(pairs, noise, least));
  }
}

await { records, signatures, bundle, evidence, reconcile }[process.argv[2]]();
stop();
