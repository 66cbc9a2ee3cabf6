"""Budgets of each peer: for records, bytes, streams, faults and the like.

Each budget is a token bucket (Turner 1986): it fills at a rate up to a burst. Using more than
is left is refused and puts the peer in debt; a debt of another burst is no accident, and the
peer is to be dropped. Pure: the clock is passed in. What a fault is, and what dropping means, is
for others to say.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Generic, NewType, TypeVar

from node.network.recent import Recent

K = TypeVar("K")
PeerId = NewType("PeerId", str)  # base58, as libp2p prints it

PEERS_TRACKED: Final = 1024


class Kind(Enum):
    """Kinds of cost that a peer has a budget for."""

    RECORDS = auto()
    BYTES = auto()
    STREAMS = auto()
    QUESTIONS = auto()  # to the core
    EFFORT = auto()  # seconds that the core takes to answer
    FRAMES = auto()  # of yamux: waited for, never refused
    FAULTS = auto()  # invalid signatures, garbage, broken rules
    STRAYS = auto()  # gossip that does not belong where or when it came: ignored anyway


class Verdict(Enum):
    """What follows for a peer that spent from its budget."""

    ALLOWED = auto()
    REFUSED = auto()  # ignore this one
    DROP = auto()  # disconnect and remember


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """The size of a token bucket: `per_s` tokens flow in each second, at most `burst` are kept."""

    per_s: float
    burst: float


# A network of 10,000 nodes makes 40 records/s of 1–8 KB; after a partition they come faster.
ALLOWANCES: Final = {
    Kind.RECORDS: Allowance(per_s=100, burst=1_000),
    Kind.BYTES: Allowance(per_s=4 << 20, burst=64 << 20),
    Kind.STREAMS: Allowance(per_s=20, burst=200),
    # Reconciliation asks one after the other, as fast as it is answered, but not for long.
    Kind.QUESTIONS: Allowance(per_s=50, burst=2_000),
    # A newcomer's pages take a second for 50,000 records, once.
    Kind.EFFORT: Allowance(per_s=0.1, burst=20.0),
    # At 64 KiB each far more than any node sends; empty ones cost a tenth of a millisecond.
    Kind.FRAMES: Allowance(per_s=1_000, burst=5_000),
    # No honest node makes any; a few may come of versions that differ.
    Kind.FAULTS: Allowance(per_s=1 / 60, burst=3),
    # Of a clock that is wrong, or of a version that sorts otherwise, a few come; not floods.
    Kind.STRAYS: Allowance(per_s=5, burst=300),
}


class PeerLimits:
    """The budgets of all peers that were lately seen; the longest unseen are forgotten first.

    They outlive a connection, so that dialling again does not fill them.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        allowances: dict[Kind, Allowance] | None = None,
        *,
        peers: int = PEERS_TRACKED,
    ) -> None:
        self._clock = clock
        self._allowances = ALLOWANCES | (allowances or {})
        self._buckets: Recent[PeerId, dict[Kind, _Bucket]] = Recent(peers)

    def spend(self, peer: PeerId, kind: Kind, amount: float = 1) -> Verdict:
        """Take `amount` from a peer's budget and return what follows."""
        allowance = self._allowances[kind]
        now = self._clock()
        buckets = self._buckets[peer] = self._buckets.get(peer, {})
        bucket = buckets.setdefault(kind, _Bucket(tokens=allowance.burst, at=now))
        return bucket.spend(amount, allowance, now)

    def __len__(self) -> int:
        return len(self._buckets)


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float

    def spend(self, amount: float, allowance: Allowance, now: float) -> Verdict:
        gained = max(0.0, now - self.at) * allowance.per_s
        # No deeper than what drops a peer: one that is let in again starts within reach of zero.
        self.tokens = max(min(allowance.burst, self.tokens + gained) - amount, -allowance.burst)
        self.at = now
        if self.tokens >= 0:
            return Verdict.ALLOWED
        if self.tokens > -allowance.burst:
            return Verdict.REFUSED
        return Verdict.DROP


class Rations(Generic[K]):
    """A token bucket for each key that was lately used. Too little in it: nothing is taken or owed.

    What is left over the bucket's size is lost; the longest unused are forgotten first.
    """

    def __init__(
        self, clock: Callable[[], float], allowance: Allowance, *, most: int = PEERS_TRACKED
    ) -> None:
        self._clock = clock
        self._allowance = allowance
        self._left: Recent[K, tuple[float, float]] = Recent(most)

    def takes(self, key: K, amount: float = 1) -> bool:
        """Take `amount` of a key's bucket if it is there; tell whether it was."""
        now, allowance = self._clock(), self._allowance
        left, at = self._left.get(key, (allowance.burst, now))
        left = min(allowance.burst, left + (now - at) * allowance.per_s)
        is_there = left >= amount
        self._left[key] = (left - amount if is_there else left, now)
        return is_there


class Pacer:
    """A bucket that tells how long to wait, so as to stay within an allowance.

    The same bucket as `PeerLimits` has, by the time at which it would be full (GCRA, ITU-T I.371).
    """

    def __init__(self, clock: Callable[[], float], allowance: Allowance) -> None:
        self._clock = clock
        self._allowance = allowance
        self._full_at = clock()

    def wait_s(self, amount: float = 1) -> float:
        """Count `amount` more, and return how many seconds to wait before it is done."""
        now, allowance = self._clock(), self._allowance
        self._full_at = max(now, self._full_at) + amount / allowance.per_s
        return max(0.0, self._full_at - now - allowance.burst / allowance.per_s)


class PeerPacers:
    """A pacer for each peer; the longest unused are forgotten first."""

    def __init__(
        self, clock: Callable[[], float], allowance: Allowance, *, peers: int = PEERS_TRACKED
    ) -> None:
        self._clock = clock
        self._allowance = allowance
        self._pacers: Recent[PeerId, Pacer] = Recent(peers)

    def wait_s(self, peer: PeerId, amount: float = 1) -> float:
        """Count `amount` more of a peer, and return how many seconds to wait before it is done."""
        pacer = self._pacers.get(peer) or Pacer(self._clock, self._allowance)
        self._pacers[peer] = pacer
        return pacer.wait_s(amount)


class Banned:
    """Peers that are refused for a time. Of too many, the longest refused are forgotten."""

    def __init__(
        self, clock: Callable[[], float], *, for_s: float = 3600.0, peers: int = PEERS_TRACKED
    ) -> None:
        self._clock = clock
        self._for_s = for_s
        self._until: Recent[PeerId, float] = Recent(peers)

    def add(self, peer: PeerId) -> None:
        """Refuse a peer from now on."""
        self._until[peer] = self._clock() + self._for_s

    def __contains__(self, peer: PeerId) -> bool:
        until = self._until.get(peer)
        if until is None:
            return False
        if self._clock() >= until:
            del self._until[peer]
            return False
        return True

    def __len__(self) -> int:
        return len(self._until)

    def __iter__(self) -> Iterator[PeerId]:
        return iter([peer for peer in tuple(self._until) if peer in self])
