"""The daily cost of a network for one node: a model with measured unit costs.

It multiplies the records of a session and their topics (`library`, protocol/topics.py), the number
of links of a message, the rate of hellos, and the measured cost of each (docs/bench.json). Its
assumptions are in `Assumptions`.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from libp2p.pubsub.pb.rpc_pb2 import RPC

from node.network.router import make_router
from node.peering.book import TARGET_OUTBOUND
from node.peering.greeting import REPEATED_S
from node.peering.syncing import LONGEST_WAIT_S
from protocol.hardware import family_of
from protocol.records import MAIN_NET
from protocol.topics import family_topic, news_topic, subscriptions
from tests.protocol.examples import MANIFEST
from tests.protocol.library import CLASSES, EXPERIMENTS, session
from tools.bench.simulation import entries, hello_bytes

DAY_S: Final = 86_400.0
_OWN = CLASSES[0]
_FAMILY = family_topic(MAIN_NET, MANIFEST.id, family_of(_OWN))
_NEWS = news_topic(MAIN_NET, MANIFEST.id)
# In addition to the record: signer, number, signature and key. Noise and yamux wrap them all.
_SIGNED_BYTES = {"from_id": 38, "seqno": 8, "signature": 64, "key": 36}
_FRAME_BYTES = 12 + 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """The assumptions about a network.

    `experiments` is per node and day. `family_share` is the share of nodes with the same topics as
    this one. `peers` is the number that a node dials plus as many that dial it. `news_mesh` is the
    number of links in a topic of all nodes: more than a node asks for, since others ask as well.
    """

    nodes: int
    experiments: float
    family_share: float = 1 / len(CLASSES)
    peers: float = 2 * TARGET_OUTBOUND
    news_mesh: float = (make_router().degree + make_router().degree_high) / 2

    @property
    def family_mesh(self) -> float:
        """The links in the family's topic, at most as many as there are peers with it."""
        return min(self.news_mesh, self.peers * self.family_share)


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """The measured unit costs. CPU is the sum over a node's processes."""

    sync_bytes: float
    disk_bytes_per_record: float
    cpu_s_per_message: float
    cpu_s_per_peer_s: float

    @classmethod
    def of(cls, bench: Mapping[str, Any]) -> "Units":
        """Return the unit costs from the figures of the benchmarks."""
        syncing, peers = bench["syncing"]["figures"], bench["peers"]["figures"]
        rest, busy = (peers[name] for name in ("at_0_per_s", "at_4_per_s"))
        at_rest = rest["share_of_a_core"]["all"]
        return cls(
            sync_bytes=syncing["equal"]["bytes"] / syncing["equal"]["questions"],
            disk_bytes_per_record=syncing["disk_bytes_per_record"],
            cpu_s_per_message=(busy["share_of_a_core"]["all"] - at_rest) / busy["members_per_s"],
            cpu_s_per_peer_s=at_rest / peers["peers"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedTraffic:
    """The traffic of one peer's experiment at a node. Messages and bytes are by topic."""

    records: float
    messages: Mapping[str, float]
    message_bytes: Mapping[str, float]


def received_traffic(hardware_class: str) -> ReceivedTraffic:
    """Return the traffic at a node of the first class from a node of `hardware_class`."""
    topics = subscriptions(MAIN_NET, [MANIFEST.id], _OWN)
    records = 0.0
    messages, sizes = Counter[str](), Counter[str]()
    # Use a later session, since the task itself is announced only once.
    for entry in entries(session(CLASSES.index(hardware_class) + len(CLASSES), 1)):
        common = [topic for topic in entry.topics if topic in topics]
        records += bool(common) / EXPERIMENTS
        for topic in common:
            messages[topic] += 1
            sizes[topic] += len(entry.wire)
    return ReceivedTraffic(
        records=records,
        messages={topic: number / EXPERIMENTS for topic, number in messages.items()},
        message_bytes={topic: size / EXPERIMENTS for topic, size in sizes.items()},
    )


def traffic(assumed: Assumptions, units: Units, seconds: float = DAY_S) -> dict[str, float]:
    """Return a node's traffic in `seconds` seconds. Gossip is one way, since both are equal."""
    own, other = received_traffic(_OWN), received_traffic(CLASSES[1])
    made = assumed.nodes * assumed.experiments * seconds / DAY_S
    near, far = made * assumed.family_share, made * (1 - assumed.family_share)
    # A node forwards a new message to all of its mesh except the sender.
    copies = {_FAMILY: assumed.family_mesh - 1, _NEWS: assumed.news_mesh - 1}
    topics = len(copies) + 1  # plus the topic of tasks, which is almost empty
    hellos = assumed.peers * seconds / REPEATED_S
    rounds = assumed.peers * (1 + seconds / LONGEST_WAIT_S)
    return {
        "records": near * own.records + far * other.records,
        "messages": sum(_both(near, own.messages, far, other.messages).values()),
        "gossip": sum(
            number * copies[topic]
            for topic, number in _both(near, own.messages, far, other.messages).items()
        ),
        "gossip_bytes": sum(
            size * copies[topic]
            for topic, size in _both(near, own.message_bytes, far, other.message_bytes).items()
        ),
        "hellos": hellos,
        "hello_bytes": hellos * 2 * hello_bytes(topics),
        "sync_bytes": rounds * topics * units.sync_bytes,
    }


def day(assumed: Assumptions, units: Units) -> dict[str, float]:
    """Return the costs of a day in readable units. Traffic is the sum of both directions."""
    spent = traffic(assumed, units)
    gossip = 2 * (spent["gossip_bytes"] + spent["gossip"] * message_bytes())
    all_bytes = gossip + spent["hello_bytes"] + spent["sync_bytes"]
    return {
        "records": spent["records"],
        "traffic_bytes": all_bytes,
        "share_of_a_core": spent["messages"] * units.cpu_s_per_message / DAY_S
        + assumed.peers * units.cpu_s_per_peer_s,
        "disk_bytes": spent["records"] * units.disk_bytes_per_record,
    }


def message_bytes() -> int:
    """Return the bytes that gossip adds to a record on a link."""
    rpc = RPC()
    parts = {name: bytes(size) for name, size in _SIGNED_BYTES.items()}
    rpc.publish.add(topicIDs=[_FAMILY], **parts)
    return rpc.ByteSize() + _FRAME_BYTES


def _both(
    near: float, own: Mapping[str, float], far: float, other: Mapping[str, float]
) -> dict[str, float]:
    return {topic: near * own.get(topic, 0) + far * other.get(topic, 0) for topic in {*own, *other}}
