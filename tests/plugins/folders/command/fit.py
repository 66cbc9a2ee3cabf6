"""Fits a line."""

SLOPE = 1.5


def predicted(x):
    """Return what is expected at x."""
    return SLOPE * x
