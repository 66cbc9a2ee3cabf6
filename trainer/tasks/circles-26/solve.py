"""Pack n disjoint circles into the unit square; the sum of their radii is what counts.

A packing is an array of rows (x, y, radius). What improves one takes a packing that holds and
returns one that holds. Work is counted in steps, never in seconds, so that every run gives the
same circles.
"""

import math

import numpy as np

# Search
PATTERN = 1  # which sequence of chance the arrangements are drawn from
STARTS = 1  # arrangements that are tried; the first is the plain grid
JITTER = 0.05  # how far the centres of the others lie off the grid


def pack(instance):
    """Return the best packing found, as a list of [x, y, radius]."""
    n = instance["n"]
    chance = np.random.default_rng(PATTERN)
    best = improved(grid(n))
    for _ in range(STARTS - 1):
        packing = improved(grid(n) + chance.normal(0, JITTER, (n, 2)))
        best = better(packing, best)
    return best.tolist()


def grid(n):
    """Return n centres row by row, as many in a row as rows are needed."""
    columns = math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    number = np.arange(n)
    row, column = number // columns, number % columns
    return np.column_stack([(column + 0.5) / columns, (row + 0.5) / rows])


def improved(centres):
    """Return a packing with its circles at these centres or near them, the largest first."""
    centres = np.clip(centres, 0.01, 0.99)
    packing = fitted(centres, np.full(len(centres), 0.5))
    return packing[np.argsort(-packing[:, 2], kind="stable")]


def fitted(centres, radii):
    """Return a packing at these centres, with radii shrunk until no circle meets another."""
    reach = distances(centres) / (radii[:, None] + radii)
    shrunk = radii * np.minimum(1, reach.min(axis=1))
    walls = np.minimum(centres, 1 - centres).min(axis=1)
    return np.column_stack([centres, np.minimum(shrunk, walls)])


def distances(centres):
    """Return how far each centre is from each other one; from itself it is far."""
    apart = centres[:, None] - centres
    return np.sqrt((apart**2).sum(axis=2)) + 9 * np.eye(len(centres))


def better(packing, other):
    """Return the one of two packings with the larger sum of radii."""
    return packing if packing[:, 2].sum() > other[:, 2].sum() else other
