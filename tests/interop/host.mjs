// js-libp2p as docs/protocol.md wants a peer: TCP, noise, yamux, and gossip of records.

import "./node20.mjs";

import { gossipsub, StrictSign, TopicValidatorResult } from "@libp2p/gossipsub";
import { identify } from "@libp2p/identify";
import { noise } from "@libp2p/noise";
import { tcp } from "@libp2p/tcp";
import { yamux } from "@libp2p/yamux";
import { createLibp2p } from "libp2p";

import { readRecord, sha256 } from "./record.mjs";
import { hex } from "./talk.mjs";

const messageId = ({ topic, data }) => sha256(topic, Buffer.of(0), data);

export function startHost() {
  return createLibp2p({
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: {
      identify: identify(),
      gossip: gossipsub({
        globalSignaturePolicy: StrictSign,
        msgIdFn: messageId,
        msgIdToStrFn: hex,
      }),
    },
  });
}

// Takes part in a topic; afterwards what is published there goes to the peer of the connection.
export async function join({ services: { gossip } }, connection, topic) {
  gossip.topicValidators.set(topic, (_, { data }) => {
    try {
      readRecord(data);
      return TopicValidatorResult.Accept;
    } catch {
      return TopicValidatorResult.Reject;
    }
  });
  gossip.subscribe(topic);
  const isWith = () => gossip.getMeshPeers(topic).includes(connection.remotePeer.toString());
  await until(gossip, "gossipsub:graft", isWith);
}

function until(target, event, holds) {
  return new Promise((resolve) => {
    const look = () => {
      if (!holds()) return;
      target.removeEventListener(event, look);
      resolve();
    };
    target.addEventListener(event, look);
    look();
  });
}
