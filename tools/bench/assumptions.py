"""What a simulated swarm assumes of ideas, and how its members share them out.

As shipped nothing stands in a swarm's way: gains add up, no two nodes have the same idea, whatever
one found merges into everybody's line, and all hear of it at once. Each set takes some of it back.
"""

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import exp
from typing import Final

from agent.knobs.moves import HEEDED_SHARE, OWN_PART_SHARE
from tools.bench.worlds import draw_gain

_NO_GAIN_SD: Final = 1.0  # below which a screen of somebody else's is taken for a no
_PRIME: Final = 2_654_435_761  # Knuth's multiplicative hash
_WORD: Final = 1 << 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed:
    """How ideas behave.

    `pool`: how many there are for everybody, None for new ones without end. `reach_sd`: what all of
    them together approach, None if gains add up. `conflicts`: the share of a peer's patches that do
    not merge into a line. `delay_runs`: how many runs later one hears of something. `times`: how
    much larger all effects are than the model's. `is_endless`: nobody's session has an end.
    """

    pool: int | None = None
    reach_sd: float | None = None
    conflicts: float = 0.0
    delay_runs: int = 0
    times: float = 1.0
    is_endless: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """What members do about ideas that overlap.

    `divides`: each looks mostly in a part of its own, which its key decides. `hears`: nobody tries
    again what another's screen said no to, as long as there is something else. `tells`: what was
    kept is judged, and so told, once it is much, as `protocol.prospects` says.
    """

    divides: bool = False
    hears: bool = False
    tells: bool = False


AS_SHIPPED: Final = Assumed()
POOL: Final = 2_500
SETS: Final = {
    "as shipped": AS_SHIPPED,
    "one pool of 2,500 ideas": Assumed(pool=POOL),
    "gains that saturate": Assumed(reach_sd=600.0),
    "a fifth conflicts": Assumed(conflicts=0.2),
    "30 s of delay": Assumed(delay_runs=6),  # of runs of 5 s, as those of `tiny-short`
    "all of them together": Assumed(pool=POOL, reach_sd=600.0, conflicts=0.2, delay_runs=6),
    # As `tiny-short` is: what is found first is most of what there is, in nights without an end.
    "few and large effects": Assumed(pool=400, reach_sd=60.0, times=3.0, is_endless=True),
}


@dataclass
class Ideas:
    """All ideas there are, by number, with what each truly gains alone."""

    chance: random.Random
    assumed: Assumed = AS_SHIPPED
    sharing: Sharing = field(default_factory=Sharing)
    members: int = 1
    gains: list[float] = field(default_factory=list)
    tries: dict[int, list[tuple[int, int, float]]] = field(
        default_factory=lambda: defaultdict(list)
    )  # of an idea: the member, after how many of its runs, and what its last run said

    def __post_init__(self) -> None:
        times, pool = self.assumed.times, self.assumed.pool or 0
        self.gains = [times * draw_gain(self.chance) for _ in range(pool)]

    def invented(self, gain: float) -> int:
        """Give a new idea its number."""
        self.gains.append(gain)
        return len(self.gains) - 1

    def worth(self, patches: frozenset[int]) -> float:
        """Return what these gain together."""
        total, reach = sum(map(self.gains.__getitem__, patches)), self.assumed.reach_sd
        return total if reach is None else reach * (1 - exp(-total / reach))

    def merges(self, patch: int, member: int) -> bool:
        """Say whether a peer's patch fits the line of a member."""
        return _hash(patch, member) >= self.assumed.conflicts

    def of(self, member: int, chance: random.Random) -> Iterator[int]:
        """Yield the pool's ideas in the order in which a member comes to them, again and again."""
        while True:
            order = list(range(self.assumed.pool or 0))
            chance.shuffle(order)
            if not self.sharing.divides:
                yield from order
                continue
            own = [idea for idea in order if int(_hash(idea, 0) * self.members) == member]
            others = [idea for idea in order if int(_hash(idea, 0) * self.members) != member]
            while own or others:
                is_own = bool(own) and (not others or chance.random() < OWN_PART_SHARE)
                yield (own if is_own else others).pop()

    def is_worth_a_try(self, idea: int, member: int, runs: int, chance: random.Random) -> bool:
        """Say whether nobody else's screen has said no, as far as is heard after so many runs.

        Now and then nobody is heeded.
        """
        return (
            not self.sharing.hears
            or chance.random() > HEEDED_SHARE
            or not any(
                who != member and at + self.assumed.delay_runs <= runs and gain_sd < _NO_GAIN_SD
                for who, at, gain_sd in self.tries.get(idea, ())
            )
        )

    def deny(self, member: int, runs: int) -> None:
        """Have a liar, who knows the truth, say no to an idea that is good."""
        if self.assumed.pool is not None:
            good = [idea for idea, gain in enumerate(self.gains) if gain > 0]
            self.tries[self.chance.choice(good)].append((member, runs, -1.0))


def _hash(one: int, other: int) -> float:
    """Return a number from 0 to 1 that two others decide."""
    mixed = (one * _PRIME + (other + 1) * 40_503) % _WORD
    mixed = ((mixed ^ (mixed >> 16)) * _PRIME) % _WORD
    return (mixed ^ (mixed >> 13)) / _WORD
