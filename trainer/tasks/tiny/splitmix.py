"""An integer PRNG of five lines, and what is drawn with it.

Data must be the same on every machine and with every library version, which the standard
library's and numpy's generators do not promise (NEP 19).
"""

from collections.abc import Sequence
from typing import TypeVar

_MASK = (1 << 64) - 1

Item = TypeVar("Item")


class SplitMix64:
    """Steele, Lea and Flood's splitmix64 (OOPSLA 2014), the PRNG with the shortest definition."""

    __slots__ = ("_state",)

    def __init__(self, seed: int) -> None:
        self._state = seed & _MASK

    def next(self) -> int:
        """Return the next 64 bits."""
        self._state = z = (self._state + 0x9E3779B97F4A7C15) & _MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return z ^ (z >> 31)

    def below(self, bound: int) -> int:
        """Return an integer in [0, bound); the bias, at most bound / 2^64, is not measurable."""
        return (self.next() * bound) >> 64


def shuffled(items: Sequence[Item], random: SplitMix64) -> list[Item]:
    """Return the items in a random order (Fisher and Yates)."""
    order = list(items)
    for last in range(len(order) - 1, 0, -1):
        other = random.below(last + 1)
        order[last], order[other] = order[other], order[last]
    return order
