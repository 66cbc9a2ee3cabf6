"""Six numbers near the wanted ones, returned after a sleep without computation."""

import time

A = 0.5
B = 0.5
C = 0.5
D = 0.5
E = 0.5
F = 0.5


def answer(instance):
    """Sleep, then return the numbers. The device counts as busy, the CPU is idle."""
    time.sleep(instance["seconds"])
    return [A, B, C, D, E, F]
