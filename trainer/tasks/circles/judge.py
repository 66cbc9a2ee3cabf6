"""Judge of `circles`: how near a program that packs n circles comes to the best known packing.

An answer is read as exact fractions. Floating point makes circles that touch overlap by a hair: all
radii are shrunk together until nothing overlaps, provably, and what is left is scored. So no
tolerance can be harvested.
"""

from fractions import Fraction
from itertools import combinations
from math import isqrt

from judging import Wrong, random_of

# The largest sums of radii known here, rounded up. Each is the best of some thousands of searches
# from other arrangements, with interior-point steps to a rigid packing; up to 25 circles most
# searches end there, beyond few do and a better packing may exist: then a share is above 1.
# fmt: off
BEST_KNOWN = {
    5: 1.103553391, 6: 1.202838911, 7: 1.306546351, 8: 1.423813916,
    9: 1.524365360, 10: 1.591012853, 11: 1.680058381, 12: 1.765978319,
    13: 1.829542412, 14: 1.905667206, 15: 1.980266509, 16: 2.053080419,
    17: 2.111185328, 18: 2.178530296, 19: 2.236704572, 20: 2.301122835,
    21: 2.362117320, 22: 2.416008070, 23: 2.478013612, 24: 2.530311587,
    25: 2.587275056, 26: 2.635983085, 27: 2.685978685, 28: 2.737739986,
    29: 2.790344155, 30: 2.839076887, 31: 2.889959147, 32: 2.939572772,
    33: 2.987285009, 34: 3.029799272, 35: 3.073354489, 36: 3.121754487,
    37: 3.161498917, 38: 3.200978074, 39: 3.245521260, 40: 3.284937538,
}
# fmt: on
FEWEST = min(BEST_KNOWN)
# Each instance draws from the next few numbers, so that every run has small and large ones.
NUMBERS_TOGETHER = 3
# More than this is no rounding: a program that overlaps so far has a fault and should hear of it.
MOST_SHRUNK = Fraction(1, 10**6)
# Roots are rounded down to a multiple of 2^-100, far below what a double can tell.
ROOT_BITS = 100


def instance(seed: bytes, split: str, index: int) -> dict[str, int]:
    """Return how many circles are to be packed."""
    first = FEWEST + NUMBERS_TOGETHER * index % len(BEST_KNOWN)
    return {"n": first + random_of(seed).randrange(NUMBERS_TOGETHER)}


def check(instance: dict[str, int], answer: object) -> dict[str, float]:
    """Return the sum of the radii that hold, as a share of the best known. Raises Wrong."""
    circles = read_circles(answer, instance["n"])
    share = share_that_holds(circles)
    if share < 1 - MOST_SHRUNK:
        raise Wrong(
            "circles overlap, or leave the square: to hold, the radii would have to shrink by"
            f" {float(1 - share):.1e} of themselves, and {float(MOST_SHRUNK):.0e} is tolerated"
        )
    total = float(share * sum(radius for _, _, radius in circles))
    return {"share_of_best": total / BEST_KNOWN[instance["n"]], "sum_of_radii": total}


def read_circles(answer: object, count: int) -> list[tuple[Fraction, Fraction, Fraction]]:
    """Return x, y and radius of each circle, exactly. Raises Wrong for anything else."""
    if not isinstance(answer, list) or len(answer) != count:
        raise Wrong(f"the answer is not a list of {count} circles")
    circles = []
    for number, circle in enumerate(answer):
        if not isinstance(circle, list) or len(circle) != 3:
            raise Wrong(f"circle {number} is not a list of x, y and radius")
        # Of the exact types alone: True is an int to Python. No NaN is between 0 and 1.
        if not all(type(value) in (int, float) and 0 <= value <= 1 for value in circle):
            raise Wrong(f"circle {number} has something else than numbers between 0 and 1")
        if not circle[2] > 0:
            raise Wrong(f"circle {number} has no radius above zero")
        x, y, radius = (Fraction(value) for value in circle)
        circles.append((x, y, radius))
    return circles


def share_that_holds(circles: list[tuple[Fraction, Fraction, Fraction]]) -> Fraction:
    """Return the largest share, at most 1, that all radii may keep so that nothing overlaps."""
    share = Fraction(1)
    for x, y, radius in circles:
        share = min(share, min(x, 1 - x, y, 1 - y) / radius)
    for (x, y, radius), (other_x, other_y, other_radius) in combinations(circles, 2):
        square = ((x - other_x) ** 2 + (y - other_y) ** 2) / (radius + other_radius) ** 2
        if square < share**2:
            share = root_below(square)
    return share


def root_below(square: Fraction) -> Fraction:
    """Return a fraction whose square is at most `square`, and hardly less."""
    return Fraction(
        isqrt((square.numerator << 2 * ROOT_BITS) // square.denominator), 1 << ROOT_BITS
    )
