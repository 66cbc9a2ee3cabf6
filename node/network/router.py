"""The router: py-libp2p's gossipsub 1.1 with parameters and a message cache suited to records."""

import hashlib
from typing import Final

import trio
from libp2p.custom_types import TProtocol
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.mcache import CacheEntry, MessageCache
from libp2p.pubsub.pb.rpc_pb2 import Message
from libp2p.pubsub.score import ScoreParams, TopicScoreParams

from node.home.addresses import PeerId
from node.network.errors import Incidents

GOSSIP_PROTOCOL: Final = TProtocol("/meshsub/1.1.0")
HEARTBEAT_S: Final = 1
_WINDOW = 3  # heartbeats whose messages are offered by IHAVE
_HISTORY = 5  # heartbeats whose messages can be requested


def message_id(message: Message) -> bytes:
    """Return sha256(topic ‖ 0 ‖ data), so that the same message from two senders counts as one."""
    topic = "|".join(message.topicIDs).encode()
    return hashlib.sha256(topic + b"\0" + message.data).digest()


def score_params() -> ScoreParams:
    """Return weights of gossipsub's peer scores: senders of invalid messages leave the mesh.

    No weight depends on addresses (40 nodes may share one) or on steady traffic (nights are quiet).
    Peers that another peer recommends are never dialled.
    """
    return ScoreParams(
        p1_time_in_mesh=TopicScoreParams(weight=0.01, cap=3600, decay=1.0),
        p2_first_message_deliveries=TopicScoreParams(weight=1.0, cap=50, decay=0.99),
        p4_invalid_messages=TopicScoreParams(weight=20.0, cap=1_000, decay=0.99),
        p5_behavior_penalty_weight=1.0,
        p5_behavior_penalty_decay=0.99,
        p5_behavior_penalty_threshold=20.0,
        gossip_threshold=-100.0,
        publish_threshold=-200.0,
        graylist_threshold=-400.0,
        accept_px_threshold=float("inf"),
    )


def make_router(heartbeat_s: int = HEARTBEAT_S) -> "GuardedGossipSub":
    """Return the router. Upstream's defaults (heartbeat 120 s, spam filter) do not suit records.

    Most of the cost of gossip is that every peer in the mesh sends every message once. So the mesh
    has a degree of four; six to twelve would take twice the time. Messages that the mesh misses
    arrive by IHAVE and reconciliation. A degree of two or three costs even less, but then messages
    sometimes did not reach a peer that had just reconnected, for an unknown reason.
    """
    router = GuardedGossipSub(
        protocols=[GOSSIP_PROTOCOL],
        degree=4,
        degree_low=3,
        degree_high=6,
        heartbeat_interval=heartbeat_s,
        time_to_live=60,
        gossip_window=_WINDOW,
        gossip_history=_HISTORY,
        do_px=False,
        spam_protection_enabled=False,
        eclipse_protection_enabled=False,
        adaptive_gossip_enabled=False,
        score_params=score_params(),
    )
    router.mcache = _MessageCache(_WINDOW, _HISTORY)
    return router


class _MessageCache(MessageCache):
    """Recent messages by `message_id`; upstream always uses the sender and its message number.

    With upstream's ids, IHAVE would name ids that no peer knows, and peers would answer each with
    an IWANT.
    """

    def put(self, msg: Message) -> None:
        mid = message_id(msg)
        if mid not in self.msgs:
            self.msgs[mid] = msg
            self.history[0].append(CacheEntry(mid, msg.topicIDs))


class GuardedGossipSub(GossipSub):
    """The router, with a heartbeat that continues after a fault."""

    incidents: Incidents | None = None

    async def heartbeat(self) -> None:
        """Maintain the mesh once in each interval."""
        while True:
            try:
                await super().heartbeat()
            except Exception as fault:  # noqa: BLE001 (a supervisor: without mesh no gossip)
                if self.incidents is not None:
                    self.incidents.note(PeerId("none"), "heartbeat", fault)
                await trio.sleep(self.heartbeat_interval)
