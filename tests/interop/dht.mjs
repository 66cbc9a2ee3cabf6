// Servers of the DHT, one at each host that the test names, all of which know each other.

import "./node20.mjs";

import { identify } from "@libp2p/identify";
import { kadDHT, passthroughMapper } from "@libp2p/kad-dht";
import { noise } from "@libp2p/noise";
import { ping } from "@libp2p/ping";
import { tcp } from "@libp2p/tcp";
import { yamux } from "@libp2p/yamux";
import { createLibp2p } from "libp2p";

import { hear, say, stop } from "./talk.mjs";

const startServer = (host) =>
  createLibp2p({
    addresses: { listen: [`/ip4/${host}/tcp/0`] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionGater: { denyDialMultiaddr: () => false }, // those of private networks, too
    connectionManager: { inboundConnectionThreshold: 1000, maxIncomingPendingConnections: 1000 },
    services: {
      identify: identify(),
      ping: ping(),
      dht: kadDHT({
        protocol: "/ipfs/kad/1.0.0",
        clientMode: false,
        peerInfoMapper: passthroughMapper,
        allowQueryWithZeroPeers: true,
      }),
    },
  });

const { hosts } = await hear();
const servers = await Promise.all(hosts.map(startServer));
for (const [number, server] of servers.entries()) {
  await Promise.all(servers.slice(0, number).map((other) => server.dial(other.getMultiaddrs())));
}
const isKnown = ({ services: { dht } }) => dht.routingTable.size >= servers.length - 1;
while (!servers.every(isKnown)) await new Promise((resolve) => setTimeout(resolve, 50));
say("serving", { addresses: servers.map((server) => server.getMultiaddrs()[0].toString()) });
for (let asked = await hear(); asked.end !== undefined; asked = await hear()) {
  await servers[asked.end].stop();
  say("ended", { server: asked.end });
}
await Promise.all(servers.map((server) => server.stop()));
stop();
