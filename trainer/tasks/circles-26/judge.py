"""Judge of `circles-26`: how much the radii of 26 disjoint circles in the unit square sum up to.

An answer is read as exact fractions. Floating point makes circles that touch overlap by a hair: all
radii are shrunk together until nothing overlaps, provably, and what is left is scored. So no
tolerance can be harvested, and the answer is the evidence.
"""

from fractions import Fraction
from itertools import combinations
from math import isqrt

from judging import Wrong

CIRCLES = 26
# More than this is no rounding: a program that overlaps so far has a fault and should hear of it.
MOST_SHRUNK = Fraction(1, 10**6)
# Roots are rounded down to a multiple of 2^-100, far below what a double can tell.
ROOT_BITS = 100


def instance(seed: bytes, split: str, index: int) -> dict[str, int]:
    """Return the one instance there is."""
    return {"n": CIRCLES}


def check(instance: dict[str, int], answer: object) -> dict[str, float]:
    """Return the sum of the radii that hold. Raises Wrong."""
    circles = read_circles(answer, instance["n"])
    share = share_that_holds(circles)
    if share < 1 - MOST_SHRUNK:
        raise Wrong(
            "circles overlap, or leave the square: to hold, the radii would have to shrink by"
            f" {float(1 - share):.1e} of themselves, and {float(MOST_SHRUNK):.0e} is tolerated"
        )
    return {"sum_of_radii": float(share * sum(radius for _, _, radius in circles))}


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
