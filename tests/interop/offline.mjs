// Programs without a peer: read a bundle, and reconcile through the test.

import { readFileSync } from "node:fs";

import { readBundle } from "./bundle.mjs";
import { Reconciliation } from "./negentropy.mjs";
import { receive, hex, say, stop, unhex } from "./talk.mjs";

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

await { bundle, reconcile }[process.argv[2]]();
stop();
