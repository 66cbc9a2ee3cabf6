"""What a network of so many nodes costs one of them a day: a model of measured unit costs.

It multiplies: what a session publishes and where that belongs (`library`, protocol/topics.py), over
how many links a message goes, how often peers say hello, and what each of these was measured to
take (docs/bench.json). What it assumes is in `Assumptions`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from node.peering.book import TARGET_OUTBOUND
from node.peering.conduct import LONGEST_WAIT_S
from node.peering.greeting import REPEATED_S
from protocol.records import MAIN_NET
from protocol.topics import subscriptions
from tests.bench.library import CLASSES, EXPERIMENTS, session
from tests.bench.simulation import entries
from tests.protocol.examples import MANIFEST

DAY_S: Final = 86_400.0
MESH_DEGREE: Final = (
    8.0  # links of a node in a topic: more than the six it asks for, others ask too
)
_OWN, _OTHER = CLASSES[0], CLASSES[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """`experiments`: of a node in a day. `family_share`: of all nodes, with this one's topics."""

    nodes: int
    experiments: float
    family_share: float = 1 / len(CLASSES)
    mesh_degree: float = MESH_DEGREE
    peers: float = 2 * TARGET_OUTBOUND


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """What was measured; `message_bytes` is what gossip adds to a record."""

    hello_bytes: float
    sync_bytes: float
    disk_bytes_per_record: float
    cpu_s_per_message: float
    cpu_s_per_peer_s: float
    message_bytes: float

    @classmethod
    def of(cls, bench: Mapping[str, Any]) -> "Units":
        """Read them from the figures of the benchmarks."""
        syncing, peers = bench["syncing"]["figures"], bench["peers"]["figures"]
        rest, busy = (peers[name] for name in ("at_0_per_s", "at_4_per_s"))
        at_rest = rest["share_of_a_core"]["all"]
        return cls(
            hello_bytes=syncing["reconnected"]["hello_bytes"],
            sync_bytes=syncing["equal"]["bytes"] / syncing["equal"]["questions"],
            disk_bytes_per_record=syncing["disk_bytes_per_record"],
            cpu_s_per_message=(busy["share_of_a_core"]["all"] - at_rest) / busy["members_per_s"],
            cpu_s_per_peer_s=at_rest / peers["peers"],
            message_bytes=peers["message_bytes"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What a node gets of one experiment of somebody: records, messages and their bytes."""

    records: float
    record_bytes: float
    messages: float
    message_bytes: float


def share_of(hardware_class: str) -> Share:
    """Return what reaches a node of the first class of what a node of this class publishes."""
    topics = subscriptions(MAIN_NET, [MANIFEST.id], _OWN)
    number = CLASSES.index(hardware_class)
    # The task itself is announced once and not with every session.
    made = entries(session(number + len(CLASSES), 1))
    counted = [(entry, sum(topic in topics for topic in entry.topics)) for entry in made]
    heard = [(entry, both) for entry, both in counted if both]
    return Share(
        records=len(heard) / EXPERIMENTS,
        record_bytes=sum(len(entry.wire) for entry, _ in heard) / EXPERIMENTS,
        messages=sum(both for _, both in heard) / EXPERIMENTS,
        message_bytes=sum(len(entry.wire) * both for entry, both in heard) / EXPERIMENTS,
    )


def traffic(assumed: Assumptions, units: Units, seconds: float = DAY_S) -> dict[str, float]:
    """Return what a node takes and gives in so many seconds, without what it takes of the CPU."""
    own, other = share_of(_OWN), share_of(_OTHER)
    made = assumed.nodes * assumed.experiments * seconds / DAY_S
    near, far = made * assumed.family_share, made * (1 - assumed.family_share)
    messages = near * own.messages + far * other.messages
    payload = near * own.message_bytes + far * other.message_bytes
    # Each node sends what is new to all of its mesh but whom it has it from: as many come in.
    copies = assumed.mesh_degree - 1
    topics = len(subscriptions(MAIN_NET, [MANIFEST.id], _OWN)) - 1  # few have several tasks
    hellos = assumed.peers * seconds / REPEATED_S
    rounds = assumed.peers * (1 + seconds / LONGEST_WAIT_S)
    return {
        "records": near * own.records + far * other.records,
        "record_bytes": near * own.record_bytes + far * other.record_bytes,
        "messages": messages,
        "gossip_in": messages * copies,
        "gossip_bytes_in": payload * copies,
        "overhead_bytes_in": messages * copies * units.message_bytes,
        "hellos": hellos,
        "hello_bytes": hellos * units.hello_bytes,
        "sync_bytes": rounds * topics * units.sync_bytes,
    }


def day(assumed: Assumptions, units: Units) -> dict[str, float]:
    """Return the costs of a day as one wants to know them; bytes both ways."""
    spent = traffic(assumed, units)
    gossip = 2 * (spent["gossip_bytes_in"] + spent["overhead_bytes_in"])
    return {
        "records": spent["records"],
        "traffic_bytes": gossip + spent["hello_bytes"] + spent["sync_bytes"],
        "kbit_per_s": (gossip + spent["hello_bytes"] + spent["sync_bytes"]) * 8 / DAY_S / 1_000,
        "share_of_a_core": spent["messages"] * units.cpu_s_per_message / DAY_S
        + assumed.peers * units.cpu_s_per_peer_s,
        "disk_bytes": spent["records"] * units.disk_bytes_per_record,
    }
