"""The history of one hyperparameter's steps, which sets the next step's size and direction.

A step is an experiment that changed only this hyperparameter.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from agent.proposal import Outcome
from agent.source.literals import REACH

# Evolution strategies' 1/5th rule: steps keep their size when one in five succeeds.
# If noise hides the effect of a step, nothing is learned from it.
_FIRST_STEP = 1.0
_STEP_GROWTH = 1.5
_STEP_DECAY = _STEP_GROWTH**-0.25
_MIN_STEP = 0.1
_MOST_REJECTED_IN_A_ROW = 3


@dataclass(frozen=True, slots=True)
class Past:
    """The steps of one hyperparameter, oldest first, as pairs of direction and outcome."""

    steps: tuple[tuple[str, Outcome], ...]

    @property
    def step(self) -> float:
        size = _FIRST_STEP
        for _, outcome in self.steps:
            if outcome.decision == "kept":
                size *= _STEP_GROWTH
            elif outcome.decision != "rechecked_out":  # a near miss says nothing about size
                size *= _STEP_DECAY
        return min(max(size, _MIN_STEP), REACH)

    @property
    def is_a_limit(self) -> bool:
        """True if the latest three steps were rejected, so the task seems to require the value."""
        latest = self.steps[-_MOST_REJECTED_IN_A_ROW:]
        rejected = sum(outcome.decision == "rejected" for _, outcome in latest)
        return rejected == _MOST_REJECTED_IN_A_ROW

    @property
    def weight(self) -> float:
        """The relative probability of choosing this hyperparameter for the next step.

        It grows with the number of kept steps and near misses, and falls with the number of steps.
        """
        kept = sum(outcome.decision == "kept" for _, outcome in self.steps)
        near = sum(outcome.decision == "rechecked_out" for _, outcome in self.steps)
        momentum = 3.0 if self.steps and self.steps[-1][1].decision == "kept" else 0.0
        return (1 + 2 * kept + near + momentum) / (1 + len(self.steps) / 2)

    def direction(self, chance: random.Random) -> str:
        if not self.steps:
            return chance.choice(("up", "down"))
        latest, outcome = self.steps[-1]
        other = "down" if latest == "up" else "up"
        stays = {"kept": 0.9, "rechecked_out": 0.6, "failed": 0.1}.get(outcome.decision, 0.35)
        return latest if chance.random() < stays else other


def pasts(history: Sequence[Outcome]) -> dict[str, Past]:
    """Return each hyperparameter's steps, keyed by its name."""
    steps: dict[str, list[tuple[str, Outcome]]] = {}
    for outcome in history:
        kind, _, rest = outcome.key.partition(":")
        name, _, direction = rest.rpartition(":")
        if kind == "hyperparameter" and name:
            steps.setdefault(name, []).append((direction, outcome))
    return {name: Past(tuple(listed)) for name, listed in steps.items()}
