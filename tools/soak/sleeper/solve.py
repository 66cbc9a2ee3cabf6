"""Six numbers near those that the judge has in mind, after a while in which nothing is computed."""

import time

A = 0.5
B = 0.5
C = 0.5
D = 0.5
E = 0.5
F = 0.5


def answer(instance):
    """Return the numbers; a device is busy meanwhile, and no processor."""
    time.sleep(instance["seconds"])
    return [A, B, C, D, E, F]
