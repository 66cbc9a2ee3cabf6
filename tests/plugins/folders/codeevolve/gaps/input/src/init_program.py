"""Places marks on a ruler."""

# EVOLVE-BLOCK-START
COUNT = 5


def marks(length):
    """Return where the marks are, one next to the other at first."""
    return list(range(COUNT))


# EVOLVE-BLOCK-END
