"""Splits numbers into two parts."""


# EVOLVE-BLOCK-START
def split(numbers):
    """Return the part that holds every other number."""
    return numbers[::2]


# EVOLVE-BLOCK-END


def run_experiment(seed):
    """Return the numbers and one part of them."""
    numbers = [(seed * 7919 + 31 * at) % 101 for at in range(12)]
    return numbers, split(numbers)
