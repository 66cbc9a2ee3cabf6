// A peer that is not ours: it greets a node, reconciles its records with the node's and fetches
// what it lacks, then joins a topic, hears a record and publishes three, the second of which is none.

import { multiaddr } from "@multiformats/multiaddr";

import { Frames } from "./frames.mjs";
import { join, startHost } from "./host.mjs";
import { Reconciliation } from "./negentropy.mjs";
import { readRecord, signRecord } from "./record.mjs";
import { receive, hex, say, stop, unhex } from "./talk.mjs";

const node = await startHost();

async function hearIn(connection, topic) {
  const heard = new Promise((resolve) => {
    node.services.gossip.addEventListener("gossipsub:message", ({ detail }) => resolve(detail));
  });
  await join(node, connection, topic);
  const streams = connection.streams.map(({ protocol }) => protocol);
  say("joined", {
    peer: node.peerId.toString(),
    encryption: connection.encryption,
    muxer: connection.multiplexer,
    gossip: streams.filter((protocol) => protocol.startsWith("/meshsub/")),
  });
  return heard;
}

async function publish(topic, seed, task) {
  const insight = (seq, text) =>
    signRecord(seed, {
      net: "main",
      kind: "insight",
      seq,
      prev: null,
      ts: Date.now(),
      body: { task, class: null, text, evidence: [] },
    });
  const altered = insight(1, "Nobody signed this.");
  altered[altered.length - 1] ^= 1;
  for (const wire of [insight(0, "Von außen."), altered, insight(2, "And once more.")]) {
    await node.services.gossip.publish(topic, wire);
  }
}

async function greet(connection, protocol, author) {
  const frames = new Frames(await connection.newStream(protocol));
  const own = { v: 3, software: "js 1", net: "main", author, addresses: [], digests: {} };
  const { net, digests } = await frames.ask(own);
  const counts = Object.entries(digests).map(([topic, [count]]) => [topic, count]);
  say("greeted", { net, counts: Object.fromEntries(counts) });
  await frames.close();
}

async function reconcile(connection, protocol, topic, records) {
  const frames = new Frames(await connection.newStream(protocol));
  const reconciliation = new Reconciliation(records);
  let question = reconciliation.open();
  while (question !== null) {
    const { message } = await frames.ask({ reconcile: question, topic });
    question = reconciliation.receive(message);
  }
  const { have, need } = reconciliation;
  say("reconciled", { have: have.map(hex), need: need.map(hex) });
  const { records: fetched } = await frames.ask({ want: need });
  say("fetched", { ids: fetched.map((wire) => hex(readRecord(wire).id)) });
  await frames.close();
}

const { address, topic, hello, sync, key, seed, task, records } = await receive();
const connection = await node.dial(multiaddr(address));
await greet(connection, hello, unhex(key));
const kept = records.map((wire) => readRecord(unhex(wire)));
await reconcile(connection, sync, topic, kept);
const { msg, msgId } = await hearIn(connection, topic);
const { id, author, body } = readRecord(msg.data);
say("heard", { message: msgId, id: hex(id), author: hex(author), text: body.text });
await publish(topic, unhex(seed), unhex(task));
say("published");
await receive(); // what was published is on its way until the test has it
await node.stop();
stop();
