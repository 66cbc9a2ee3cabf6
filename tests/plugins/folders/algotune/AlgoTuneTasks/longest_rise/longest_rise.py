# Example of a task of AlgoTune's form.
import logging
import random
from itertools import pairwise
from typing import Any

import numpy as np
from AlgoTuneTasks.base import Task, register_task

LIMIT = 1000


def _is_rising(values: list[int]) -> bool:
    return all(before < after for before, after in pairwise(values))


# How long a rise can be at each number.
def _lengths(numbers: np.ndarray) -> np.ndarray:
    best = np.ones(len(numbers), dtype=int)
    for at in range(1, len(numbers)):
        lower = numbers[:at] < numbers[at]
        if lower.any():
            best[at] += best[:at][lower].max()
    return best


@register_task("longest_rise")
class LongestRise(Task):
    """The longest rising subsequence."""

    def generate_problem(self, n: int, random_seed: int = 1) -> dict[str, Any]:
        """Return n numbers."""
        random.seed(random_seed)
        return {"numbers": np.array([random.randrange(LIMIT) for _ in range(n)])}

    def solve(self, problem: dict[str, Any]) -> list[int]:
        """
        Return a longest rise.
        """
        numbers = problem["numbers"]
        best = _lengths(numbers)
        # From the end of the longest one backwards.
        at = int(best.argmax())
        rise = [int(numbers[at])]
        for before in range(at - 1, -1, -1):
            if best[before] == best[at] - 1 and numbers[before] < numbers[at]:
                at = before
                rise.append(int(numbers[at]))
        return rise[::-1]

    def is_solution(self, problem: dict[str, Any], solution: list[int]) -> bool:
        """Say whether it is a rise, in the numbers, and as long as the longest."""
        if not isinstance(solution, list) or not _is_rising(solution):
            logging.getLogger(__name__).error("no rise")
            return False
        numbers = iter(problem["numbers"].tolist())
        return all(one in numbers for one in solution) and len(solution) == int(
            _lengths(problem["numbers"]).max()
        )
