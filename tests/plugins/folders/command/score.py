"""Prints how wrong the line is."""

import fit
from points import POINTS

error = sum(abs(fit.predicted(x) - y) for x, y in POINTS) / len(POINTS)
print(f"step 1: error {error + 1}")
print(f"error: {error}")
