"""Figures with 95 % intervals: shares with Wilson's interval, others with a bootstrap's."""

import math
import random
from collections.abc import Callable, Sequence
from statistics import fmean

from protocol.rule import Judgement


def holds(judged: Judgement, gain: float) -> bool:
    """Return True if the reported interval contains this gain."""
    lower, upper = judged.lower, judged.upper
    return (lower is None or lower <= gain) and (upper is None or gain <= upper)


def share_of(part: int, whole: int) -> dict[str, object]:
    """Return a share with Wilson's 95 % interval."""
    if whole == 0:
        return {"share": None, "from": 0.0, "to": 1.0, "of": 0}
    rate, z = part / whole, 1.959964
    middle = rate + z * z / (2 * whole)
    spread = z * math.sqrt(rate * (1 - rate) / whole + (z / (2 * whole)) ** 2)
    scale = 1 + z * z / whole
    return {
        "share": round(rate, 4),
        "from": round((middle - spread) / scale, 4),
        "to": round((middle + spread) / scale, 4),
        "of": whole,
    }


def ratio_of(gains: Sequence[float], other: Sequence[float]) -> dict[str, float]:
    """Return the ratio of two means over the same streams, with its interval."""
    ratio = _figure(len(gains), lambda drawn: _sum(gains, drawn) / _sum(other, drawn))
    return {"ratio": round(fmean(gains) / fmean(other), 3), **ratio}


def mean_of(values: Sequence[float]) -> dict[str, float]:
    """Return a mean with its interval."""
    mean = _figure(len(values), lambda drawn: _sum(values, drawn) / len(drawn))
    return {"mean": round(fmean(values), 3), **mean}


def quantile_of(values: Sequence[float], share: float) -> dict[str, float]:
    """Return the quantile at `share`, with its interval."""

    def at(drawn: Sequence[int]) -> float:
        ordered = sorted(values[i] for i in drawn)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]

    return {"quantile": at(range(len(values))), **_figure(len(values), at)}


def _sum(values: Sequence[float], drawn: Sequence[int]) -> float:
    return sum(values[i] for i in drawn)


def _figure(count: int, of: Callable[[Sequence[int]], float]) -> dict[str, float]:
    """Return a figure of `count` streams with its bootstrap 95 % interval.

    `of` computes the figure from the numbers of the streams.
    """
    chance = random.Random(1)
    found = sorted(of(chance.choices(range(count), k=count)) for _ in range(1_000))
    return {"from": round(found[25], 3), "to": round(found[974], 3)}
