"""How runs of one tree scatter, for simulations: in standard deviations, of variance 1."""

import random
from collections.abc import Callable

Noise = Callable[[random.Random], float]


def normal(chance: random.Random) -> float:
    """Return the scatter of a well-behaved machine."""
    return chance.gauss(0, 1)


def student(degrees: int) -> Noise:
    """Return a scatter with heavy tails, of variance 1."""
    scale = ((degrees - 2) / degrees) ** 0.5

    def draw(chance: random.Random) -> float:
        spread = sum(chance.gauss(0, 1) ** 2 for _ in range(degrees)) / degrees
        return float(scale * chance.gauss(0, 1) / spread**0.5)

    return draw


def skewed(sign: int) -> Noise:
    """Return a scatter with one long tail, of variance 1."""
    return lambda chance: sign * (chance.expovariate(1.0) - 1)
