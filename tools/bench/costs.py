"""What a network of so many nodes costs one of them a day: a model of measured unit costs.

It multiplies: what a session publishes and where that belongs (`library`, protocol/topics.py), over
how many links a message goes, how often peers say hello, and what each of these was measured to
take (docs/bench.json). What it assumes is in `Assumptions`.
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
# Beside the record: who signed it, its number, signature and key, and noise and yamux around all.
_SIGNED_BYTES = {"from_id": 38, "seqno": 8, "signature": 64, "key": 36}
_FRAME_BYTES = 12 + 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """`experiments`: of a node in a day. `family_share`: of all nodes, with this one's topics.

    `peers`: those that a node dials, and as many that dial it. `news_mesh`: links in a topic that
    everybody has: more than it asks for, since others ask as well.
    """

    nodes: int
    experiments: float
    family_share: float = 1 / len(CLASSES)
    peers: float = 2 * TARGET_OUTBOUND
    news_mesh: float = (make_router().degree + make_router().degree_high) / 2

    @property
    def family_mesh(self) -> float:
        """Links in the family's topic: no more than there are peers that have it."""
        return min(self.news_mesh, self.peers * self.family_share)


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """What was measured. CPU is that of all of a node's processes."""

    sync_bytes: float
    disk_bytes_per_record: float
    cpu_s_per_message: float
    cpu_s_per_peer_s: float

    @classmethod
    def of(cls, bench: Mapping[str, Any]) -> "Units":
        """Read them from the figures of the benchmarks."""
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
class Heard:
    """What a node hears of one experiment of somebody, by topic for messages and their bytes."""

    records: float
    messages: Mapping[str, float]
    message_bytes: Mapping[str, float]


def heard_of(hardware_class: str) -> Heard:
    """Return what reaches a node of the first class of what a node of this class publishes."""
    topics = subscriptions(MAIN_NET, [MANIFEST.id], _OWN)
    records = 0.0
    messages, sizes = Counter[str](), Counter[str]()
    # A later session: the task itself is announced once.
    for entry in entries(session(CLASSES.index(hardware_class) + len(CLASSES), 1)):
        common = [topic for topic in entry.topics if topic in topics]
        records += bool(common) / EXPERIMENTS
        for topic in common:
            messages[topic] += 1
            sizes[topic] += len(entry.wire)
    return Heard(
        records=records,
        messages={topic: number / EXPERIMENTS for topic, number in messages.items()},
        message_bytes={topic: size / EXPERIMENTS for topic, size in sizes.items()},
    )


def traffic(assumed: Assumptions, units: Units, seconds: float = DAY_S) -> dict[str, float]:
    """Return what a node hears and says in so many seconds; gossip one way: both are the same."""
    own, other = heard_of(_OWN), heard_of(CLASSES[1])
    made = assumed.nodes * assumed.experiments * seconds / DAY_S
    near, far = made * assumed.family_share, made * (1 - assumed.family_share)
    # Whatever is new to a node goes to all of its mesh but to whom it has it from.
    copies = {_FAMILY: assumed.family_mesh - 1, _NEWS: assumed.news_mesh - 1}
    topics = len(copies) + 1  # and that of tasks, which hardly anything is in
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
    """Return the costs of a day as one wants to know them; traffic is both ways together."""
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
    """Return what gossip adds to a record on a link."""
    rpc = RPC()
    parts = {name: bytes(size) for name, size in _SIGNED_BYTES.items()}
    rpc.publish.add(topicIDs=[_FAMILY], **parts)
    return rpc.ByteSize() + _FRAME_BYTES


def _both(
    near: float, own: Mapping[str, float], far: float, other: Mapping[str, float]
) -> dict[str, float]:
    return {topic: near * own.get(topic, 0) + far * other.get(topic, 0) for topic in {*own, *other}}
