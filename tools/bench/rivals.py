"""What others do with the same proposals and the same machine, to compare with."""

import random
from dataclasses import dataclass
from statistics import fmean, variance

from protocol.statistics import student_t_cdf
from tools.bench.worlds import Machine, Propose, draw_gain

_RESAMPLES = 200


@dataclass(kw_only=True)
class Progress:
    """How far a rule came in truth, and what it took for a gain that was none."""

    gain: float = 0.0
    adopted: int = 0
    false: int = 0

    def adopt(self, gain: float) -> None:
        """Take a patch or a stack in."""
        self.gain += gain
        self.adopted += 1
        self.false += gain <= 0


def keep_if_lower(machine: Machine, runs: int, propose: Propose = draw_gain) -> Progress:
    """Keep whatever measured lower than the last that was kept (autoresearch's loop)."""
    progress, best = Progress(), machine.measure(0.0)
    while machine.runs < runs:
        gain = propose(machine.chance)
        measured = machine.measure(-(progress.gain + gain))
        if measured < best:
            best = measured
            progress.adopt(gain)
    return progress


def bootstrap(machine: Machine, runs: int, *, count: int = 3, level: float = 0.95) -> Progress:
    """Keep what a bootstrap of so many runs against so many calls better at this level."""
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
    """Keep what a one-sided two-sample t-test of so many runs each calls better."""
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
