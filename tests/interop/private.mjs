// A peer of a private network that is not ours: it dials a node or is dialled by it, and over that
// connection the two greet each other and it reconciles its records, of which it has none.

import "./node20.mjs";

import { noise } from "@libp2p/noise";
import { preSharedKey } from "@libp2p/pnet";
import { tcp } from "@libp2p/tcp";
import { yamux } from "@libp2p/yamux";
import { multiaddr } from "@multiformats/multiaddr";
import { createLibp2p } from "libp2p";

import { Frames } from "./frames.mjs";
import { Reconciliation } from "./negentropy.mjs";
import { readRecord } from "./record.mjs";
import { receive, hex, say, stop, unhex } from "./talk.mjs";

const { secret, address, topic, hello, sync, key } = await receive();
const own = { v: 3, software: "js 1", net: "main", addresses: [], digests: {} };
own.author = unhex(key);

const node = await createLibp2p({
  addresses: { listen: ["/ip4/127.0.0.1/tcp/0"] },
  transports: [tcp()],
  ...(secret !== null && { connectionProtector: preSharedKey({ psk: keyFile(secret) }) }),
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
});

// The form in which other libp2ps keep the secret.
function keyFile(digits) {
  return Buffer.from(`/key/swarm/psk/1.0.0/\n/base16/\n${digits}`);
}

async function learn(connection) {
  const greeting = new Frames(await connection.newStream(hello));
  const { net } = await greeting.ask(own);
  await greeting.close();
  const frames = new Frames(await connection.newStream(sync));
  const reconciliation = new Reconciliation([]);
  let question = reconciliation.open();
  while (question !== null) {
    const { message } = await frames.ask({ reconcile: question, topic });
    question = reconciliation.receive(message);
  }
  const { records } = await frames.ask({ want: reconciliation.need });
  await frames.close();
  say("learnt", { net, ids: records.map((wire) => hex(readRecord(wire).id)) });
}

const greeted = new Promise((resolve, reject) => {
  node.handle(hello, (stream, connection) => {
    const frames = new Frames(stream);
    frames.answer(own).then(({ net }) => resolve({ net, connection }), reject);
  });
});

if (address === null) {
  say("listens", { address: node.getMultiaddrs()[0].toString() });
  const { net, connection } = await greeted;
  say("greeted", { net });
  await learn(connection);
} else {
  try {
    await learn(await node.dial(multiaddr(address)));
  } catch (fault) {
    say("refused", { why: fault.name });
  }
}
await node.stop();
stop();
