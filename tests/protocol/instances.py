"""Gains of a useless candidate on one instance, for simulations; their mean is 0.

A run is a mean over instances. Base and candidate of a pair have the same ones.
"""

import math
import random
from statistics import fmean
from typing import Final

from tests.protocol.scatter import Noise, normal


def ties(share: float, noise: Noise = normal) -> Noise:
    """Return differences of which this share is exactly 0."""
    return lambda chance: 0.0 if chance.random() < share else noise(chance)


def coin(chance: random.Random) -> float:
    """Return 1 or -1: all instances that differ do so by the same amount."""
    return chance.choice((-1.0, 1.0))


def lognormal(sign: int, width: float) -> Noise:
    """Return a skewed difference: with sign -1 mostly gains, and a long tail of losses."""
    mean = math.exp(width * width / 2)
    return lambda chance: sign * (chance.lognormvariate(0, width) - mean)


def rare_losses(share: float) -> Noise:
    """Return a small gain nearly always, and rarely a loss that outweighs all gains."""
    return lambda chance: -(1 - share) / share if chance.random() < share else 1.0


def heavy(degrees: int) -> Noise:
    """Return Student's t. With two degrees of freedom it has no variance."""

    def draw(chance: random.Random) -> float:
        spread = sum(chance.gauss(0, 1) ** 2 for _ in range(degrees)) / degrees
        return float(chance.gauss(0, 1) / spread**0.5)

    return draw


def mean_of(noise: Noise, instances: int) -> Noise:
    """Return the difference of two runs, as a mean over this many instances."""
    return lambda chance: fmean(noise(chance) for _ in range(instances))


NULLS: Final[dict[str, Noise]] = {
    "normal": normal,
    "won_or_lost": coin,
    "ties_70": ties(0.7),
    "ties_90": ties(0.9),
    "ties_99": ties(0.99),
    "ties_90_won_or_lost": ties(0.9, coin),
    "ties_70_lossy": ties(0.7, rare_losses(0.2)),
    "ties_90_lossy": ties(0.9, rare_losses(0.2)),
    "lognormal_up": lognormal(1, 1.0),
    "lognormal_down": lognormal(-1, 1.0),
    "lognormal_down_half": lognormal(-1, 0.5),
    "rare_losses_20": rare_losses(0.2),
    "heavy_tails_t2": heavy(2),
    "heavy_tails_t3": heavy(3),
}
# Pairs cannot show a loss that has not occurred in them yet. How rare a loss may be depends on the
# number of instances.
RARER: Final[dict[str, Noise]] = {
    "rare_losses_10": rare_losses(0.1),
    "rare_losses_5": rare_losses(0.05),
    "rare_losses_2": rare_losses(0.02),
}
