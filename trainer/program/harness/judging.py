"""What a task's judge may import, as `judging`: the word for a wrong answer, and chance."""

import random


class Wrong(Exception):  # noqa: N818 -- a verdict
    """What is wrong with an answer, in one plain sentence."""


def random_of(seed: bytes) -> random.Random:
    """Return chance that follows from the 32 bytes of an instance alone."""
    return random.Random(int.from_bytes(seed, "big"))
