// A peer that says what the test tells it to: it signs records, has some of them to be asked for, and
// gossips others.

import { multiaddr } from "@multiformats/multiaddr";

import { Frames } from "./frames.mjs";
import { join, startHost } from "./host.mjs";
import { digestOf, respond } from "./negentropy.mjs";
import { readRecord, signRecord } from "./record.mjs";
import { receive, hex, say, stop, unhex } from "./talk.mjs";

const node = await startHost();
const offered = new Map(); // records by topic

// In what the test writes, bytes are text that begins with "hex:".
function revived(value) {
  if (typeof value === "string" && value.startsWith("hex:")) return unhex(value.slice(4));
  if (Array.isArray(value)) return value.map(revived);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, revived(one)]));
}

function answer(question) {
  if ("reconcile" in question) {
    return { message: respond(offered.get(question.topic) ?? [], question.reconcile) };
  }
  const wanted = new Set((question.want ?? []).map(hex));
  const records = [...offered.values()].flat().filter(({ id }) => wanted.has(hex(id)));
  return { records: records.map(({ wire }) => wire) };
}

async function serve(protocol, answering) {
  await node.handle(protocol, (stream) => new Frames(stream).serve(answering));
}

const { address, seed, hello, sync, net, records } = await receive();
for (const { fields, topic, offer } of records) {
  const wire = signRecord(unhex(seed), revived(fields));
  const record = readRecord(wire);
  if (offer) offered.set(topic, [...(offered.get(topic) ?? []), record]);
  say("signed", { id: hex(record.id), bytes: wire.length });
}
const connection = await node.dial(multiaddr(address));
if (hello) {
  const digests = Object.fromEntries([...offered].map(([topic, some]) => [topic, digestOf(some)]));
  const { author } = readRecord(signRecord(unhex(seed), revived(records[0].fields)));
  const own = { v: 3, software: "js 1", net, author, addresses: [], digests };
  await serve(hello, () => own);
  await serve(sync, answer);
  const frames = new Frames(await connection.newStream(hello));
  say("greeted", { net: (await frames.ask(own)).net });
  await frames.close();
}
await receive(); // that it may speak
const spoken = records.filter(({ offer }) => !offer);
for (const topic of new Set(spoken.map(({ topic }) => topic))) await join(node, connection, topic);
for (const { fields, topic } of spoken) {
  await node.services.gossip.publish(topic, signRecord(unhex(seed), revived(fields)));
}
say("spoken");
await receive(); // that all has arrived
say("connected", { peers: node.getPeers().map(String) });
await node.stop();
stop();
