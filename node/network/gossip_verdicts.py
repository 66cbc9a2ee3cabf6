"""Rules for which gossip messages are passed on.

A message is passed on if it is a recent record of this network in a topic that the record belongs
to. Only a few records of kinds that this version does not know are passed on.

A message that is no record is a fault of its forwarder. All other messages that are not passed on
may come from honest peers: clocks and versions differ, and the forwarder may not know the record's
kind. Such a message is ignored. A stray is an ignored message with the wrong network, topic or
time; one from another network counts as ten strays (`CostKind.STRAYS`). Only a peer with many
strays is dropped. No record is lost, because reconciliation brings every record that a node keeps.

This module is pure, except for the budgets of unknown kinds (`GossipJudge`). Clocks are passed in.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from node.home.addresses import PeerId
from node.home.clock import EARLY_MS
from node.network.peer_budgets import Allowance, Buckets
from protocol.errors import Rejected
from protocol.record_kinds import UnknownBody
from protocol.records import Record, parse_record
from protocol.topics import belongs, net_of

# Limits for record kinds that this version does not know, since their value is unknown.
UNKNOWN_BYTES: Final = 2_048
UNKNOWN_OF_AUTHOR: Final = Allowance(per_s=0.1, burst=20)
UNKNOWN_OF_FORWARDER: Final = Allowance(per_s=2, burst=100)
_OTHER_NETWORK_STRAYS: Final = 10  # a record reaches another network only on purpose


class Fate(Enum):
    """The decision about a message."""

    PASSED_ON = auto()
    IGNORED = auto()
    REFUSED = auto()  # a fault of its forwarder


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFate:
    """A message's fate, and the reason as one of a few fixed texts.

    `strays`: the number of unwanted messages that it counts as against the peer that sent it.
    """

    fate: Fate
    why: str = ""
    strays: int = 0


PASSED_ON: Final = MessageFate(fate=Fate.PASSED_ON)
NO_RECORD: Final = MessageFate(fate=Fate.REFUSED, why="no record")
OTHER_NETWORK: Final = MessageFate(
    fate=Fate.IGNORED, why="of another network", strays=_OTHER_NETWORK_STRAYS
)
OTHER_TOPIC: Final = MessageFate(fate=Fate.IGNORED, why="of another topic", strays=1)
EARLY: Final = MessageFate(fate=Fate.IGNORED, why="early", strays=1)
EXPIRED: Final = MessageFate(fate=Fate.IGNORED, why="expired", strays=1)
LONG: Final = MessageFate(fate=Fate.IGNORED, why="of an unknown kind, and long")
MANY: Final = MessageFate(fate=Fate.IGNORED, why="of an unknown kind, and too many")


class GossipJudge:
    """A judge of messages by their bytes, their topic, the time and their forwarder."""

    def __init__(self, clock: Callable[[], float], now_ms: Callable[[], int]) -> None:
        """`clock` is monotonic, in seconds; `now_ms` counts milliseconds since 1970."""
        self._now_ms = now_ms
        self._of_author: Buckets[bytes] = Buckets(clock, UNKNOWN_OF_AUTHOR)
        self._of_forwarder: Buckets[PeerId] = Buckets(clock, UNKNOWN_OF_FORWARDER)

    def judge(self, topic: str, forwarder: PeerId, data: bytes) -> MessageFate:
        """Return the fate of a message in a topic. The caller counts it against its forwarder."""
        record = parse_record(data)
        if isinstance(record, Rejected):
            return NO_RECORD
        judgement = judged(record, topic, self._now_ms())
        if judgement is not PASSED_ON or not isinstance(record.body, UnknownBody):
            return judgement
        if self._of_forwarder[forwarder].takes() and self._of_author[record.author].takes():
            return PASSED_ON
        return MANY


def judged(record: Record, topic: str, now_ms: int) -> MessageFate:
    """Return the fate of a record in a topic at a time; it does not depend on the forwarder."""
    if record.net != net_of(topic):
        return OTHER_NETWORK
    if record.ts_ms > now_ms + EARLY_MS:
        return EARLY
    if isinstance(record.body, UnknownBody):  # only later versions know its topic
        return PASSED_ON if len(record.wire) <= UNKNOWN_BYTES else LONG
    lives_s = record.body.lives_s
    if lives_s is not None and record.ts_ms + lives_s * 1_000 + EARLY_MS < now_ms:
        return EXPIRED
    return PASSED_ON if belongs(record, topic) else OTHER_TOPIC
