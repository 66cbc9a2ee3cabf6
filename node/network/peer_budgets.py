"""Budgets of each peer for records, bytes, streams, faults and so on.

Each budget is a token bucket (Turner 1986) that fills at a rate up to a burst. Spending more than
is left is refused and puts the peer in debt. A debt as large as the burst cannot be an accident, so
the peer must be dropped. Pure: the clock is passed in. Callers decide what is a fault. The host
drops peers (`NetworkHost.drop`), at the request of its own guards or of the core.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Generic, TypeVar

from node.home.addresses import PeerId

K = TypeVar("K")
V = TypeVar("V")

PEERS_TRACKED: Final = 1024


class Recent(OrderedDict[K, V]):
    """A dictionary of at most `most` entries. The entry set longest ago is evicted first."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def __setitem__(self, key: K, value: V) -> None:
        """Set a value and make it the newest entry."""
        super().__setitem__(key, value)
        self.move_to_end(key)
        if len(self) > self._most:
            self.popitem(last=False)


class CostKind(Enum):
    """Kinds of cost that a peer has a budget for."""

    RECORDS = auto()
    BYTES = auto()
    STREAMS = auto()
    QUESTIONS = auto()  # to the core
    TIME = auto()  # seconds that the core takes to answer
    FRAMES = auto()  # of yamux: delayed, never refused
    FAULTS = auto()  # invalid signatures, garbage, broken rules
    STRAYS = auto()  # gossip in the wrong topic or at the wrong time: ignored anyway


class BudgetVerdict(Enum):
    """The consequence for a peer that spent from its budget."""

    ALLOWED = auto()
    REFUSED = auto()  # ignore this message or request
    DROP = auto()  # disconnect the peer and refuse it for a while


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """The size of a token bucket: it gains `per_s` tokens each second and holds at most `burst`."""

    per_s: float
    burst: float


# A network of 10,000 nodes makes 40 records/s of 1–8 KB; after a partition they come faster.
ALLOWANCES: Final = {
    CostKind.RECORDS: Allowance(per_s=100, burst=1_000),
    CostKind.BYTES: Allowance(per_s=4 << 20, burst=64 << 20),
    CostKind.STREAMS: Allowance(per_s=20, burst=200),
    # Reconciliation asks one question after the other, as fast as it gets answers, but briefly.
    CostKind.QUESTIONS: Allowance(per_s=50, burst=2_000),
    # A newcomer's pages take a second for 50,000 records, once.
    CostKind.TIME: Allowance(per_s=0.1, burst=20.0),
    # At 64 KiB per frame this is far more than any node sends; an empty frame takes 0.1 ms.
    CostKind.FRAMES: Allowance(per_s=1_000, burst=5_000),
    # Honest nodes cause only a few faults, where versions differ.
    CostKind.FAULTS: Allowance(per_s=1 / 60, burst=3),
    # A wrong clock or a version that sorts differently causes a few, but no floods.
    CostKind.STRAYS: Allowance(per_s=5, burst=300),
}


class Bucket:
    """A token bucket of an allowance, full at first."""

    def __init__(self, clock: Callable[[], float], allowance: Allowance) -> None:
        self._clock = clock
        self._allowance = allowance
        self._tokens = allowance.burst
        self._at = clock()

    def spend(self, amount: float = 1) -> BudgetVerdict:
        """Spend `amount` and return the consequence."""
        burst = self._allowance.burst
        # The debt does not grow beyond the burst, so that a readmitted peer soon has tokens again.
        self._tokens = max(self._filled() - amount, -burst)
        if self._tokens >= 0:
            return BudgetVerdict.ALLOWED
        return BudgetVerdict.REFUSED if self._tokens > -burst else BudgetVerdict.DROP

    def takes(self, amount: float = 1) -> bool:
        """Spend `amount` if it is available, else nothing; return True if it was spent."""
        filled = self._filled()
        is_there = filled >= amount
        self._tokens = filled - amount if is_there else filled
        return is_there

    def wait_s(self, amount: float = 1) -> float:
        """Spend `amount`, even beyond what is left; return the seconds that a caller must wait."""
        self._tokens = self._filled() - amount
        return max(0.0, -self._tokens / self._allowance.per_s)

    def _filled(self) -> float:
        before, self._at = self._at, self._clock()
        gained = max(0.0, self._at - before) * self._allowance.per_s
        return min(self._allowance.burst, self._tokens + gained)


class Buckets(Generic[K]):
    """A bucket for each recently used key; the keys unused for longest are forgotten first."""

    def __init__(
        self, clock: Callable[[], float], allowance: Allowance, *, most: int = PEERS_TRACKED
    ) -> None:
        self._clock = clock
        self._allowance = allowance
        self._buckets: Recent[K, Bucket] = Recent(most)

    def __getitem__(self, key: K) -> Bucket:
        """Return a key's bucket; a new key's bucket is full."""
        bucket = self._buckets.get(key) or Bucket(self._clock, self._allowance)
        self._buckets[key] = bucket
        return bucket


class PeerLimits:
    """The budgets of all recently seen peers.

    They outlive a connection, so that a peer cannot refill them by reconnecting.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        allowances: dict[CostKind, Allowance] | None = None,
        *,
        peers: int = PEERS_TRACKED,
    ) -> None:
        self._budgets = {
            kind: Buckets[PeerId](clock, allowance, most=peers)
            for kind, allowance in (ALLOWANCES | (allowances or {})).items()
        }

    def spend(self, peer: PeerId, kind: CostKind, amount: float = 1) -> BudgetVerdict:
        """Spend `amount` from a peer's budget and return the consequence."""
        return self._budgets[kind][peer].spend(amount)


class Banned:
    """Peers that are refused for a time. If there are too many, the oldest are forgotten."""

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

    def __iter__(self) -> Iterator[PeerId]:
        return iter([peer for peer in tuple(self._until) if peer in self])
