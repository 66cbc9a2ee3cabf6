// Servers of the DHT, one at each host that the test names, all of which know each other. Some of them
// may lie: they name peers and providers that are nowhere, and keep nothing.

import "./node20.mjs";

import { generateKeyPair } from "@libp2p/crypto/keys";
import { identify } from "@libp2p/identify";
import { kadDHT, passthroughMapper } from "@libp2p/kad-dht";
import { noise } from "@libp2p/noise";
import { peerIdFromPrivateKey } from "@libp2p/peer-id";
import { ping } from "@libp2p/ping";
import { tcp } from "@libp2p/tcp";
import { pbStream } from "@libp2p/utils";
import { yamux } from "@libp2p/yamux";
import { multiaddr } from "@multiformats/multiaddr";
import { createLibp2p } from "libp2p";

import { Message, MessageType } from "./node_modules/@libp2p/kad-dht/dist/src/message/dht.js";
import { receive, say, stop } from "./talk.mjs";

const PROTOCOL = "/ipfs/kad/1.0.0";
const dht = () =>
  kadDHT({
    protocol: PROTOCOL,
    clientMode: false,
    peerInfoMapper: passthroughMapper,
    allowQueryWithZeroPeers: true,
  });

// A public address is shared with others only if it is said to be announced.
const addressesOf = (host, port) => {
  const listen = [`/ip4/${host}/tcp/${port}`];
  return port === 0 ? { listen } : { listen, announce: listen };
};

const startServer = (host, port, isLying) =>
  createLibp2p({
    addresses: addressesOf(host, port),
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionGater: { denyDialMultiaddr: () => false }, // those of private networks, too
    connectionManager: { inboundConnectionThreshold: 1000, maxIncomingPendingConnections: 1000 },
    services: { identify: identify(), ping: ping(), ...(isLying ? {} : { dht: dht() }) },
  });

async function invented(nowhere) {
  const id = peerIdFromPrivateKey(await generateKeyPair("Ed25519")).toMultihash().bytes;
  const host = [nowhere, ...crypto.getRandomValues(new Uint8Array(3))].join(".");
  return { id, multiaddrs: [multiaddr(`/ip4/${host}/tcp/4001`).bytes] };
}

// Answers whatever it is asked with peers in the network `nowhere`.
async function lie(nowhere, stream) {
  const messages = pbStream(stream).pb(Message);
  while (stream.readStatus === "readable") {
    const { type, key } = await messages.read();
    if (type === MessageType.ADD_PROVIDER) continue;
    const crowd = () => Promise.all(Array.from({ length: 20 }, () => invented(nowhere)));
    const found = type === MessageType.PING ? [[], []] : await Promise.all([crowd(), crowd()]);
    await messages.write({ type, key, closer: found[0], providers: found[1] });
  }
}

const { hosts, port = 0, lying = [], nowhere = 127 } = await receive();
const isLying = (at) => lying.includes(at);
const servers = await Promise.all(hosts.map((host, at) => startServer(host, port, isLying(at))));
for (const at of lying) {
  // A peer that hangs up in the middle of a lie is no fault.
  await servers[at].handle(PROTOCOL, (stream) => lie(nowhere, stream).catch(() => {}));
}
for (const [number, server] of servers.entries()) {
  await Promise.all(servers.slice(0, number).map((other) => server.dial(other.getMultiaddrs())));
}
const honest = servers.filter((_, at) => !isLying(at));
const isKnown = ({ services }) => services.dht.routingTable.size >= servers.length - 1;
while (!honest.every(isKnown)) await new Promise((resolve) => setTimeout(resolve, 50));
say("serving", { addresses: servers.map((server) => server.getMultiaddrs()[0].toString()) });
for (let asked = await receive(); asked.end !== undefined; asked = await receive()) {
  await servers[asked.end].stop();
  say("ended", { server: asked.end });
}
await Promise.all(servers.map((server) => server.stop()));
stop();
