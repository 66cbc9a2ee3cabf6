"""The assumptions of a simulated swarm about ideas, and how its members divide them.

The default is ideal for a swarm: gains add up, no two nodes have the same idea, every patch merges
into every line, and all nodes get it at once. Each set of assumptions drops some of this.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from heapq import nlargest
from math import exp
from statistics import median
from typing import Final

from agent.hyperparameters.moves import OWN_PART_SHARE, REPORT_SHARE
from node.loop.others_tries import ENOUGH_DENIERS, KEEP_WEIGHT
from protocol.prospects import LARGE_SD
from tools.bench.worlds import draw_gain

_NO_GAIN_SD: Final = 1.0  # below this another node's screen counts as negative
_PRIME: Final = 2_654_435_761  # Knuth's multiplicative hash
_WORD: Final = 1 << 32
_SALT: Final = 1_000  # hashes of owners are independent of those of conflicts


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed:
    """Assumptions about ideas.

    `pool` is the number of ideas for all nodes, None for an endless supply. `reach_sd` is the limit
    of all gains together, None if gains add up. `conflicts` is the share of a peer's patches that
    do not merge into a line. `delay_runs` is the number of runs before news arrives. `times` is a
    factor on all effects of the model. `is_endless` means that sessions do not end.
    """

    pool: int | None = None
    reach_sd: float | None = None
    conflicts: float = 0.0
    delay_runs: int = 0
    times: float = 1.0
    is_endless: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """The behaviour of members towards overlapping ideas.

    With `divides` each searches mostly its own part, given by its key. With `reads_screens` an idea
    with another node's negative screen is mostly repeated by one node alone. With `pools_keeps`
    ideas that others kept come first and together, before anybody's trial of them. With
    `tries_early` kept patches get a promotion trial, and so are published, as soon as their gain is
    large, by `protocol.prospects`.
    """

    divides: bool = False
    reads_screens: bool = False
    pools_keeps: bool = False
    tries_early: bool = False


AS_SHIPPED: Final = Assumed()
POOL: Final = 2_500
SETS: Final = {
    "as shipped": AS_SHIPPED,
    "one pool of 2,500 ideas": Assumed(pool=POOL),
    "gains that saturate": Assumed(reach_sd=600.0),
    "a fifth conflicts": Assumed(conflicts=0.2),
    "30 s of delay": Assumed(delay_runs=6),  # of runs of 5 s, as those of `tiny-short`
    "all of them together": Assumed(pool=POOL, reach_sd=600.0, conflicts=0.2, delay_runs=6),
    # Like `tiny-short`: the first finds are most of the possible gain. Sessions do not end.
    "few and large effects": Assumed(pool=400, reach_sd=60.0, times=3.0, is_endless=True),
}


@dataclass
class Ideas:
    """All ideas by number, with the true gain of each alone."""

    chance: random.Random
    assumed: Assumed = AS_SHIPPED
    sharing: Sharing = field(default_factory=Sharing)
    members: int = 1
    liars: int = 0  # who have the numbers after those of the members
    gains: list[float] = field(default_factory=list)
    tries: dict[int, list[tuple[int, int, float]]] = field(
        default_factory=lambda: defaultdict(list)
    )  # by idea: the member, its number of runs then, and the gain by its last run
    keeps: dict[int, list[tuple[int, int, float]]] = field(
        default_factory=lambda: defaultdict(list)
    )  # likewise

    def __post_init__(self) -> None:
        times, pool = self.assumed.times, self.assumed.pool or 0
        self.gains = [times * draw_gain(self.chance) for _ in range(pool)]

    def invented(self, gain: float) -> int:
        """Add a new idea and return its number."""
        self.gains.append(gain)
        return len(self.gains) - 1

    def worth(self, patches: frozenset[int]) -> float:
        """Return the true gain of these patches together."""
        total, reach = sum(map(self.gains.__getitem__, patches)), self.assumed.reach_sd
        return total if reach is None else reach * (1 - exp(-total / reach))

    def merges(self, patch: int, member: int) -> bool:
        """Return True if a peer's patch merges into a member's line."""
        return _hash(patch, member) >= self.assumed.conflicts

    def of(
        self, member: int, chance: random.Random, skipped: Callable[[], Collection[int]]
    ) -> Iterator[int]:
        """Yield the pool's ideas in a member's order, repeating without end.

        No idea is assigned to those who are `skipped` then.
        """
        while True:
            order = list(range(self.assumed.pool or 0))
            chance.shuffle(order)
            if not self.sharing.divides:
                yield from order
                continue
            own, others, rejected = order, list[int](), None
            while own or others:
                if (now := frozenset(skipped())) != rejected:
                    left, rejected = [*own, *others], now
                    own, others = [], []
                    for idea in left:
                        (own if [member] == self._owners(idea, now, 1) else others).append(idea)
                is_own = bool(own) and (not others or chance.random() < OWN_PART_SHARE)
                yield (own if is_own else others).pop()

    def is_worth_a_try(
        self, idea: int, member: int, runs: int, chance: random.Random, skipped: Collection[int]
    ) -> bool:
        """Return True unless another member's negative screen is known after `runs` runs.

        Then others repeat it until there are enough such screens, each of them the part of one. A
        random share of ideas is tried regardless. Screens of `skipped` members do not count.
        """
        if not self.sharing.reads_screens or chance.random() > REPORT_SHARE:
            return True
        deniers = self._deniers(idea, member, runs, skipped)
        missing = max(0, ENOUGH_DENIERS - len(deniers))
        return not deniers or member in self._owners(idea, deniers.union(skipped), missing)

    def _owners(self, idea: int, rejected: Collection[int], count: int) -> list[int]:
        """Return so many members and liars to whom an idea is assigned."""
        free = (who for who in range(self.members + self.liars) if who not in rejected)
        return nlargest(count, free, key=lambda who: _hash(idea, who + _SALT))

    def _known(
        self,
        said: Iterable[tuple[int, int, float]],
        member: int,
        runs: int,
        skipped: Collection[int],
    ) -> Iterator[tuple[int, float]]:
        """Yield other members and their gains, as known to a member after `runs` runs."""
        latest = runs - self.assumed.delay_runs
        for who, at, gain_sd in said:
            if who != member and who not in skipped and at <= latest:
                yield who, gain_sd

    def _deniers(self, idea: int, member: int, runs: int, skipped: Collection[int]) -> set[int]:
        """Return the members with a negative screen of an idea."""
        tries = self._known(self.tries.get(idea, ()), member, runs, skipped)
        return {who for who, gain_sd in tries if gain_sd < _NO_GAIN_SD}

    def kept_by_others(
        self, member: int, runs: int, skipped: Collection[int], *, least_sd: float
    ) -> list[int]:
        """Return the ideas that others kept, as known after `runs` runs, the largest gain first.

        Ideas with too many negative screens are left out, as in `node.loop.others_tries`, and
        those that only `skipped` members kept, or with a gain below `least_sd`.
        """
        if not self.sharing.pools_keeps:
            return []
        claimed: dict[int, float] = {}
        for idea, keeps in self.keeps.items():
            known = dict(self._known(keeps, member, runs, skipped))
            gain_sd = median(known.values()) if known else 0.0
            if not known or gain_sd < least_sd:
                continue
            is_frequent = KEEP_WEIGHT * len(known) >= len(
                self._deniers(idea, member, runs, skipped)
            )
            if is_frequent or gain_sd >= LARGE_SD:
                claimed[idea] = gain_sd
        return sorted(claimed, key=lambda idea: (-claimed[idea], idea))

    def lie(self, member: int, runs: int) -> None:
        """Publish a liar's negative screen of a good idea, and its keep of a bad one."""
        if self.assumed.pool is not None:
            good = [idea for idea, gain in enumerate(self.gains) if gain > 0]
            bad = [idea for idea, gain in enumerate(self.gains) if gain <= 0]
            self.tries[self.chance.choice(good)].append((member, runs, -1.0))
            gain_sd = self.chance.uniform(LARGE_SD, 2 * LARGE_SD)
            self.keeps[self.chance.choice(bad)].append((member, runs, gain_sd))


def _hash(one: int, other: int) -> float:
    """Return a hash of two numbers, from 0 to 1."""
    mixed = (one * _PRIME + (other + 1) * 40_503) % _WORD
    mixed = ((mixed ^ (mixed >> 16)) * _PRIME) % _WORD
    return (mixed ^ (mixed >> 13)) / _WORD
