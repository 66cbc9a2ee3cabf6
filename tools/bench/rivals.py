"""Other decision rules for the same proposals on the same machine, for comparison."""

import random
from dataclasses import dataclass
from statistics import fmean, variance

from protocol.statistics import student_t_cdf
from tools.bench.worlds import Machine, Propose, draw_gain

_RESAMPLES = 200


@dataclass(kw_only=True)
class Progress:
    """The true progress of a rule, with its number of adoptions and of false ones."""

    gain: float = 0.0
    adopted: int = 0
    false: int = 0

    def adopt(self, gain: float) -> None:
        """Count an adopted patch or stack with its true gain."""
        self.gain += gain
        self.adopted += 1
        self.false += gain <= 0


def keep_if_lower(machine: Machine, runs: int, propose: Propose = draw_gain) -> Progress:
    """Keep a patch if it measures lower than the last kept one (autoresearch's loop)."""
    progress, best = Progress(), machine.measure(0.0)
    while machine.runs < runs:
        gain = propose(machine.chance)
        measured = machine.measure(-(progress.gain + gain))
        if measured < best:
            best = measured
            progress.adopt(gain)
    return progress


def bootstrap(machine: Machine, runs: int, *, count: int = 3, level: float = 0.95) -> Progress:
    """Keep a patch if a bootstrap of `count` runs against `count` runs favours it at a level."""
    progress = Progress()
    while machine.runs + 2 * count <= runs:
        gain = draw_gain(machine.chance)
        base = [machine.measure(-progress.gain) for _ in range(count)]
        candidate = [machine.measure(-(progress.gain + gain)) for _ in range(count)]
        wins = sum(
            fmean(_again(base, machine.chance)) > fmean(_again(candidate, machine.chance))
            for _ in range(_RESAMPLES)
        )
        if wins / _RESAMPLES >= level:
            progress.adopt(gain)
    return progress


def t_test(machine: Machine, runs: int, *, count: int = 5, level: float = 0.95) -> Progress:
    """Keep a patch if a one-sided two-sample t-test with `count` runs each favours it."""
    progress = Progress()
    while machine.runs + 2 * count <= runs:
        gain = draw_gain(machine.chance)
        base = [machine.measure(-progress.gain) for _ in range(count)]
        candidate = [machine.measure(-(progress.gain + gain)) for _ in range(count)]
        spread = ((variance(base) + variance(candidate)) / count) ** 0.5
        if student_t_cdf((fmean(base) - fmean(candidate)) / spread, 2 * count - 2) >= level:
            progress.adopt(gain)
    return progress


def _again(values: list[float], chance: random.Random) -> list[float]:
    return chance.choices(values, k=len(values))
