"""Distributions of one tree's runs for simulations, in standard deviations, with variance 1."""

import random
from collections.abc import Callable

Noise = Callable[[random.Random], float]


def normal(chance: random.Random) -> float:
    """Return the noise of a well-behaved machine."""
    return chance.gauss(0, 1)


def student(degrees: int) -> Noise:
    """Return noise with heavy tails and variance 1."""
    scale = ((degrees - 2) / degrees) ** 0.5

    def draw(chance: random.Random) -> float:
        spread = sum(chance.gauss(0, 1) ** 2 for _ in range(degrees)) / degrees
        return float(scale * chance.gauss(0, 1) / spread**0.5)

    return draw


def skewed(sign: int) -> Noise:
    """Return noise with one long tail and variance 1."""
    return lambda chance: sign * (chance.expovariate(1.0) - 1)


def scaled(sd: float) -> Noise:
    """Return noise of another size than assumed."""
    return lambda chance: chance.gauss(0, sd)


def lasting(correlation: float) -> Noise:
    """Return noise that lasts: each run is correlated with the one before (AR 1), with variance 1.

    It remembers the last run, so every stream needs its own.
    """
    now: list[float] = []

    def draw(chance: random.Random) -> float:
        fresh = chance.gauss(0, 1)
        last = now.pop() if now else None
        rest = (1 - correlation**2) ** 0.5
        now.append(fresh if last is None else correlation * last + rest * fresh)
        return now[0]

    return draw
