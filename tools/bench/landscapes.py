"""A landscape with local optima: a tree of ways, many of them short, and lines that search it.

At each fork the choice of one way excludes the others: their gains do not apply any more. Another
way can only be taken from below the fork. Gains are in standard deviations of one run.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from node.line.plateaus import REACH_SD
from tools.bench.streams import Node
from tools.bench.worlds import BAD_SHARE, GOOD_SHARE

Way: TypeAlias = tuple[int, ...]  # the choice at each fork
Place: TypeAlias = tuple[Way, frozenset[tuple[Way, int]]]  # a way, and the gains made on it

_FORKS = 4
_END_SHARE = 0.5
_LONGEST = 6
_VARIANTS = 4  # variants of each gain; the first may fail by bad luck
_MOST_FOUND = 4  # with fewer open gains a proposer finds one less often
START: Place = ((), frozenset())


@dataclass
class Ways:
    """The gains on all ways. Everything follows from the seed."""

    seed: int
    _gains: dict[Way, tuple[list[float], bool]] = field(default_factory=dict)

    def worth(self, place: Place) -> float:
        """Return the sum of all gains made at a place."""
        return sum(self._at(way)[0][number] for way, number in place[1])

    def open_from(self, place: Place) -> list[Place]:
        """Return the places that are one gain further."""
        way, made = place
        onward = [
            (way, made | {(below, number)})
            for below in (way[:count] for count in range(len(way) + 1))
            for number in range(len(self._at(below)[0]))
            if (below, number) not in made
        ]
        is_at_fork = not way or sum(at == way for at, _ in made) > 1
        if is_at_fork and not self._at(way)[1]:
            onward += [((*way, n), made | {((*way, n), 0)}) for n in range(_FORKS)]
        return onward

    def best(self, way: Way = ()) -> float:
        """Return the gain of the best place on a way and beyond."""
        gains, is_end = self._at(way)
        onward = [] if is_end else [self.best((*way, n)) for n in range(_FORKS)]
        return sum(gains) + max(onward, default=0.0)

    def _at(self, way: Way) -> tuple[list[float], bool]:
        """Return the gains on a way before the next fork, and True if the way ends there."""
        if way not in self._gains:
            chance = random.Random(f"{self.seed} {way}")
            gains = [chance.uniform(1, 3) for _ in range(chance.randint(2, 5))]
            is_end = len(way) == _LONGEST or (bool(way) and chance.random() < _END_SHARE)
            self._gains[way] = (gains, is_end)
        return self._gains[way]


@dataclass
class Walker(Node):
    """A line on such a landscape. It may continue from the lines of other nodes, `others`."""

    land: Ways = field(default_factory=lambda: Ways(0))
    others: Sequence["Walker"] = ()
    place: Place = START
    places: list[Place] = field(default_factory=lambda: [START])  # one for each head
    tried: set[tuple[Place, int]] = field(default_factory=set)
    gone_on_from: set[Place] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.propose = self._propose
        self.looks_back = False
        self._next: Place | None = None

    def _propose(self, chance: random.Random) -> float:
        drawn, self._next = chance.random(), None
        if drawn >= GOOD_SHARE:
            return -chance.uniform(0, 2) if drawn < GOOD_SHARE + BAD_SHARE else 0.0
        onward = self.land.open_from(self.place)
        if not onward or chance.random() >= len(onward) / _MOST_FOUND:
            return 0.0
        found = chance.choice(onward), chance.randrange(_VARIANTS)
        if found in self.tried:
            return 0.0
        self.tried.add(found)
        self._next = found[0]
        return self.land.worth(found[0]) - self.land.worth(self.place)

    def decided(self, *, is_kept: bool, gain_sd: float, runs: int) -> None:
        """Move to the place of the last proposal if it was kept."""
        if is_kept and self._next is not None:
            self.place = self._next

    def arrived(self, head: int) -> None:
        """Move to the place of a head."""
        self.place = self.places[head]

    def _adopt(self, worth: float) -> None:
        super()._adopt(worth)
        self.places.append(self.place)

    def _recheck_head(self) -> None:
        super()._recheck_head()
        del self.places[len(self.heads) :]

    def root(self) -> tuple[float, bool] | None:
        """Return another line's unused head that is close to this line's, else the default."""
        near = [
            (other.heads[-1], other.places[-1])
            for other in self.others
            if other.heads[-1] >= self.heads[-1] - REACH_SD
            and other.places[-1] not in {*self.gone_on_from, *self.places, START}
        ]
        if not near:
            return super().root()
        worth, self.place = max(near)
        self.gone_on_from.add(self.place)
        return worth, True
