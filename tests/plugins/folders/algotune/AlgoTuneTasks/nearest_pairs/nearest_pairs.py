from __future__ import annotations

import numpy as np
import scipy.spatial
from AlgoTuneTasks.base import Task, register_task


@register_task("nearest_pairs")
class NearestPairs(Task):
    """For each point the nearest other one."""

    METRIC = "euclidean"

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dimensions = 2

    def generate_problem(self, n: int, random_seed: int = 1) -> np.ndarray:
        """Return n points."""
        return np.random.default_rng(random_seed).random((n, self.dimensions))

    def _distances(self, points: np.ndarray) -> np.ndarray:
        apart = ((points[:, None] - points[None]) ** 2).sum(axis=2)
        np.fill_diagonal(apart, np.inf)
        return apart if self.METRIC == "euclidean" else np.sqrt(apart)

    def solve(self, problem: np.ndarray) -> np.ndarray:
        """Return indices."""
        return self._distances(problem).argmin(axis=1)

    def is_solution(self, problem: np.ndarray, solution: np.ndarray) -> bool:
        """Compare with a tree's answer."""
        tree = scipy.spatial.cKDTree(problem)
        return bool(np.array_equal(tree.query(problem, k=2)[1][:, 1], solution))
