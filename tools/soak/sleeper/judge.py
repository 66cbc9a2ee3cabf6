"""The distance of six numbers from the wanted ones. Instances differ only in their difficulty."""

from judging import Wrong, random_of

WANTED = (0.1, 0.9, 0.3, 0.7, 0.2, 0.8)
SECONDS = 5.0  # time that a device takes for one instance
SCATTER = 0.02


def instance(seed, split, index):
    """Return the seconds to sleep and the difficulty of an instance."""
    return {"seconds": SECONDS, "hard": random_of(seed).gauss(0.0, SCATTER)}


def check(instance, answer):
    """Return the distance of an answer. Raises Wrong unless it is six numbers."""
    if not isinstance(answer, list) or len(answer) != len(WANTED):
        raise Wrong("six numbers are wanted")
    if not all(isinstance(one, float) and 0 <= one <= 1 for one in answer):
        raise Wrong("numbers from 0 to 1 are wanted")
    pairs = zip(answer, WANTED, strict=True)
    return {"distance": 1.0 + sum(abs(one - wanted) for one, wanted in pairs) + instance["hard"]}
