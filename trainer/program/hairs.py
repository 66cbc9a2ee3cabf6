"""Numbers a hair beyond: whether a judge's tolerance can be harvested.

A judge that compares within a tolerance and scores what an answer says pays for each hair, up to
where it refuses. One that repairs pays nothing, and an answer that can honestly be improved goes on
improving: so what tells is how figures go on as the hair grows, and that it is so with each
instance.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from trainer.program.values import Path, numbers_in, with_numbers

HAIRS: Final = (1e-12, 1e-9, 1e-7, 1e-6)
LONGER: Final = (1e-5, 1e-4, 1e-3)  # where one of those paid, to see where it is refused
_MOST_PARTS: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Some of an answer's numbers: `has` says of a path whether it is one of them."""

    name: str
    has: Callable[[Path], bool]


def places(value: Any, figure: float) -> list[Place]:
    """Return what is changed together: all numbers, those of a key or column, and single ones."""
    floats = [(at, number) for at, number in numbers_in(value) if isinstance(number, float)]
    if not floats:
        return []
    found = [Place(name="all numbers", has=lambda _at: True)]
    if isinstance(value, dict):
        keys = list(dict.fromkeys(at[0] for at, _ in floats))[:_MOST_PARTS]
        found += [Place(name=f"{key!r}", has=_starts_with(key)) for key in keys]
    ends = sorted({at[-1] for at, _ in floats if len(at) > 1}, key=str)
    if 1 < len(ends) <= _MOST_PARTS:
        found += [Place(name=f"{end!r} of each part", has=_ends_with(end)) for end in ends]
    single = [floats[0][0], floats[-1][0]]
    single += [at for at, number in floats if math.isclose(number, figure, rel_tol=1e-9)][:1]
    found += [_single(at) for at in dict.fromkeys(single)]
    return found


def leaves(value: Any) -> list[Place]:
    """Return single numbers that may be a figure which an answer tells of itself."""
    paths = [at for at, _ in numbers_in(value)]
    named = [at for at in paths if at and isinstance(at[-1], str)][:_MOST_PARTS]
    return [_single(at) for at in dict.fromkeys([*named, *paths[:2], *paths[-1:]])]


def lengthened(value: Any, place: Place, size: float) -> Any:
    """Return a value with the floats of a place longer by so much; `size` may be below zero."""

    def change(at: Path, number: Any) -> Any:
        if not isinstance(number, float) or not place.has(at):
            return number
        return (
            number * (1 + size)
            if place.name == "all numbers"
            else number + size * max(1.0, abs(number))
        )

    return with_numbers(value, change)


def put(value: Any, place: Place, number: float) -> Any:
    """Return a value with a number in a place."""
    return with_numbers(value, lambda at, old: number if place.has(at) else old)


def is_harvested(gains: Sequence[float | None], *, rounding: float) -> bool:
    """Say whether figures went up with each longer hair, until it was refused (None).

    `gains` are in the order of lengths, and end with the first one that is refused.
    """
    taken = [gain for gain in gains if gain is not None]
    if len(taken) == len(gains) or not taken or taken[-1] <= rounding:
        return False
    return all(earlier <= later + rounding for earlier, later in pairwise(taken))


def _starts_with(key: object) -> Callable[[Path], bool]:
    return lambda at: bool(at) and at[0] == key


def _ends_with(end: object) -> Callable[[Path], bool]:
    return lambda at: len(at) > 1 and at[-1] == end


def _single(path: Path) -> Place:
    told = ".".join(map(str, path)) or "the answer itself"
    return Place(name=told, has=lambda at: at == path)
