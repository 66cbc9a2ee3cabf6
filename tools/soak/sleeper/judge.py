"""How far six numbers are from those wanted; instances differ in how hard they are, and no more."""

from judging import Wrong, random_of

WANTED = (0.1, 0.9, 0.3, 0.7, 0.2, 0.8)
SECONDS = 5.0  # that a device takes for one instance
SCATTER = 0.02


def instance(seed, split, index):
    """Return how long to sleep, and how hard this one is."""
    return {"seconds": SECONDS, "hard": random_of(seed).gauss(0.0, SCATTER)}


def check(instance, answer):
    """Return the distance. Raises Wrong for what are no six numbers."""
    if not isinstance(answer, list) or len(answer) != len(WANTED):
        raise Wrong("six numbers are wanted")
    if not all(isinstance(one, float) and 0 <= one <= 1 for one in answer):
        raise Wrong("numbers from 0 to 1 are wanted")
    pairs = zip(answer, WANTED, strict=True)
    return {"distance": 1.0 + sum(abs(one - wanted) for one, wanted in pairs) + instance["hard"]}
