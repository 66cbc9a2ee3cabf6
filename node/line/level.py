"""The value that a change is compared with: the level of its base, or a run of the base.

The level is the expected metric of the working line, estimated from its own runs and from the runs
of changes tried on it.

A comparison with a single run of the line would add that run's noise. But most patches have no
effect, so their runs also estimate the line's metric. The level is therefore a posterior mean. The
prior is from the reference runs. The likelihood of a patch's run assumes the distribution of the
effects of typical patches: most do nothing or harm, few gain (`_TABLE`). The level is never
evidence. It only decides which patches are rechecked, and which are kept.

If seeds select instances, a recheck is compared with a run of the base on the same instances. If
all patches were compared with one stored run, its luck would favour or harm all of them.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean
from typing import Any, Final

import numpy as np

from node.line.job_step import ended_runs
from node.line.line_writer import LineWriter
from node.line.trial import MAX_BASE_FAILURES
from node.store.jobs import Job, PlannedRun
from protocol.runs import Run

LATEST: Final = 30  # few enough to notice a machine that has become slower or faster
_REACH_SD: Final = 3.0
_GRID: Final = np.linspace(-_REACH_SD, _REACH_SD, 121)
_FAR_SD: Final = 15.0
# Fractions of patches that do nothing, harm by up to 2 and up to 10 sd, and gain 1 to 3 sd. Five
# sets of fractions were simulated over nights of five mixes of patches; this set gained most.
_NOTHING, _HARM, _RUIN, _GAIN = 0.3, 0.3, 0.35, 0.05


def level_of(reference_runs: Sequence[float], screened: Sequence[float], sd: float) -> float:
    """Return the line's level, smaller being better. `reference_runs` has at least one run.

    `screened` are the first runs of changes tried on it, of which only the latest count. `sd` is
    the noise of one run.
    """
    mean = fmean(reference_runs)
    latest = np.asarray(screened[-LATEST:], dtype=float)
    off = (latest[:, None] - mean) / sd - _GRID
    log_likelihood = np.interp(off, _OFF, _TABLE).sum(axis=0) - len(reference_runs) / 2 * _GRID**2
    weight = np.exp(log_likelihood - log_likelihood.max())
    return mean + sd * float((weight * _GRID).sum() / weight.sum())


def _log_density(off: float) -> float:
    """Return the log density of a change's run at `off` standard deviations above the level."""
    at, below = NormalDist().pdf(off), NormalDist().cdf
    harm = (below(off) - below(off - 2)) / 2
    ruin = (below(off) - below(off - 10)) / 10
    gain = (below(off + 3) - below(off + 1)) / 2
    return math.log(max(1e-300, _NOTHING * at + _HARM * harm + _RUIN * ruin + _GAIN * gain))


_OFF: Final = np.linspace(-_FAR_SD, _FAR_SD, 1501)
_TABLE: Final = np.array([_log_density(off) for off in _OFF])


def plan_recheck(line_writer: LineWriter, job: Job[Any], base: bytes, tree: bytes) -> None:
    """Plan a recheck: a run of a tree with a new seed.

    If the task compares runs with the same seed, plan such a run of the tree's base too.
    """
    if line_writer.style.name == "differences":
        line_writer.plan_fresh_pair(job, base, tree)
    else:
        line_writer.plan(job, role="candidate", tree=tree)


def compared_runs(
    runs: Sequence[PlannedRun], level_nano: int
) -> tuple[list[PlannedRun], list[int]]:
    """Return a change's runs, and the figure that each is compared with, in 1e-9 units.

    The figure is that of the base's run with the same seed, else `level_nano`. Runs whose base
    failed are left out.
    """
    bases = {run.seed: run.run.metric_nano for run in runs if run.role == "base" and run.run}
    own = [(run, bases.get(run.seed, level_nano)) for run in runs if run.role == "candidate"]
    compared = [(run, base_nano) for run, base_nano in own if base_nano is not None]
    return [run for run, _ in compared], [base_nano for _, base_nano in compared]


def does_base_fail(runs: Sequence[PlannedRun]) -> bool:
    """Return True if the base failed too often to be an accident."""
    bases = [run.run for run in runs if run.role == "base" and run.run]
    return sum(run.metric_nano is None for run in bases) >= MAX_BASE_FAILURES


def recorded_runs(runs: list[PlannedRun]) -> list[Run]:
    """Return the runs for a record, without failed base runs: the patch did not cause them."""
    return [
        run for run in ended_runs(runs) if run.role == "candidate" or run.metric_nano is not None
    ]
