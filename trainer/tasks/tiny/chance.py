"""Chance with a ledger: weighted tables, and the probability of each choice.

Everything is integer arithmetic (splitmix64 and integer weights), so that a seed gives
the same text on every machine and with every library version. Only the ledger of bits is floating
point, and nothing is chosen by it.
"""

import math
from bisect import bisect_right
from collections.abc import Collection, Hashable, Sequence
from typing import Generic, Protocol, TypeVar

from trainer.tasks.tiny.splitmix import SplitMix64

Item = TypeVar("Item", bound=Hashable)


class Table(Generic[Item]):
    """Distinct items with integer weights. A duplicate would make the entropy floor inexact."""

    __slots__ = ("bits", "cumulative", "index", "items", "total", "weights")

    def __init__(self, items: Sequence[Item], weights: Sequence[int]) -> None:
        self.items = tuple(items)
        self.weights = tuple(weights)
        self.index = {item: position for position, item in enumerate(self.items)}
        if not len(self.items) == len(self.weights) == len(self.index):
            raise ValueError("a table needs distinct items and one weight for each")
        self.cumulative: list[int] = []
        self.total = 0
        for weight in self.weights:
            self.total += weight
            self.cumulative.append(self.total)
        self.bits = tuple(math.log2(self.total / weight) for weight in self.weights)

    def bits_without(self, position: int, excluded: Collection[Item]) -> float:
        """Return the information of an item when the excluded ones cannot come."""
        left = self.total - sum(self.weights[self.index[item]] for item in excluded)
        return math.log2(left / self.weights[position])


class Pen(Protocol):
    """What a story is told with: every choice and every written word passes through here."""

    def pick(self, table: Table[Item], excluded: Collection[Item] = ()) -> Item:
        """Choose one item that is not excluded."""

    def write(self, text: str) -> None:
        """Add text to the document."""

    def written_since(self, mark: int) -> str:
        """Return the text added after the `mark`-th piece."""

    def mark(self) -> int:
        """Return how many pieces were written so far."""


class Dice:
    """The pen that invents: draws each choice from the PRNG and adds up its bits."""

    __slots__ = ("_pieces", "_random", "bits")

    def __init__(self, seed: int) -> None:
        self._random = SplitMix64(seed)
        self._pieces: list[str] = []
        self.bits = 0.0

    def pick(self, table: Table[Item], excluded: Collection[Item] = ()) -> Item:
        """Choose by weight; excluded items are drawn again, and the bits renormalised."""
        while True:
            position = bisect_right(table.cumulative, self._random.below(table.total))
            item = table.items[position]
            if not excluded:
                self.bits += table.bits[position]
                return item
            if item not in excluded:
                self.bits += table.bits_without(position, excluded)
                return item

    def write(self, text: str) -> None:
        self._pieces.append(text)

    def mark(self) -> int:
        return len(self._pieces)

    def written_since(self, mark: int) -> str:
        return "".join(self._pieces[mark:])
