"""Figures with how sure they are: shares with Wilson's 95 % interval, ratios with a bootstrap's."""

import math
import random
from collections.abc import Sequence
from statistics import fmean

from protocol.rule import Judgement


def holds(judged: Judgement, gain: float) -> bool:
    """Whether the interval that is told holds this gain."""
    lower, upper = judged.lower, judged.upper
    return (lower is None or lower <= gain) and (upper is None or gain <= upper)


def share_of(part: int, whole: int) -> dict[str, object]:
    """A share with Wilson's 95 % interval."""
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
    """The ratio of two means with a bootstrap's 95 % interval."""
    chance, count = random.Random(1), len(gains)
    ratios: list[float] = []
    for _ in range(1_000):
        drawn = chance.choices(range(count), k=count)
        ratios.append(sum(gains[i] for i in drawn) / sum(other[i] for i in drawn))
    ratios.sort()
    return {
        "ratio": round(fmean(gains) / fmean(other), 3),
        "from": round(ratios[25], 3),
        "to": round(ratios[974], 3),
    }
