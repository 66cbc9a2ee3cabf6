"""Conversion between floats and the whole 1e-9 units ("nano") of stored and signed figures."""

from collections.abc import Sequence
from typing import Final, overload

NANO: Final = 1_000_000_000


@overload
def from_nano(nano: int) -> float: ...
@overload
def from_nano(nano: None) -> None: ...
def from_nano(nano: int | None) -> float | None:
    """Return a stored figure as a float, to show or to compute with."""
    return None if nano is None else nano / NANO


@overload
def to_nano(figure: float) -> int: ...
@overload
def to_nano(figure: None) -> None: ...
def to_nano(figure: float | None) -> int | None:
    """Return a figure in whole 1e-9 units, to store or sign."""
    return None if figure is None else round(figure * NANO)


def mean_nano(nanos: Sequence[int]) -> int:
    """Return the mean of one or more figures, rounded to the nearest integer, halves up."""
    return (2 * sum(nanos) + len(nanos)) // (2 * len(nanos))
