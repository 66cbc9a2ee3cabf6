"""What is right."""

import random

from task import input_t, output_t
from utils import compared


def ref_kernel(data: input_t) -> output_t:
    """Return each number doubled."""
    return [number + number for number in data]


def generate_input(size: int, seed: int) -> input_t:
    """Return numbers that follow from a seed."""
    chance = random.Random(seed)
    return [chance.randrange(1000) for _ in range(size)]


check_implementation = compared(ref_kernel)
