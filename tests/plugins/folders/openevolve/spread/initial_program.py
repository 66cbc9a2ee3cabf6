"""Places points on the unit interval."""

# EVOLVE-BLOCK-START
COUNT = 5


def place():
    """Return the places, bunched together at first."""
    return [0.1 * number for number in range(COUNT)]


# EVOLVE-BLOCK-END


def answer():
    """Return what the evaluator asks for."""
    return sorted(place())
