"""The value that a change is compared with: the level of its base, or a run of the base.

The level is what the working line measures on average, by its own runs and by those of what was
tried on it.

One run of the line, which a screen is compared with, is half of the noise of that comparison. But
most of what is tried on it changes nothing, and what that measured says where the line is, too. So
the level is a posterior mean: before any trial it is what the bank says; the run of a proposal is
at the level, or below or above it, as proposals are (`_TABLE`). It is never evidence: what follows
from it is which proposals are tried a second time, and which the working line goes on from.

Where a seed says which instances are met, a recheck is compared with a run of the base on the same:
one run that was kept would be every change's, and the luck of that one run theirs.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean
from typing import Any, Final

import numpy as np

from node.line.job_step import ended_runs
from node.line.ledger import Ledger
from node.line.trial import MAX_BASE_FAILURES
from node.store.jobs import Job, PlannedRun
from protocol.runs import Run

LATEST: Final = 30  # more would drown a machine that has become slower or quicker since
_REACH_SD: Final = 3.0
_GRID: Final = np.linspace(-_REACH_SD, _REACH_SD, 121)
_FAR_SD: Final = 15.0
# Of proposals so many do nothing, harm by up to 2 and up to 10 deviations, and gain 1 to 3.
# Of five sets of shares that were simulated, in nights of five mixes, these got furthest overall.
_NOTHING, _HARM, _RUIN, _GAIN = 0.3, 0.3, 0.35, 0.05


def level_of(bank: Sequence[float], screened: Sequence[float], sd: float) -> float:
    """Return the line's level, less being better: `bank` are runs of it, at least one.

    `screened` are the first runs of what was tried on it, of which the latest count; `sd` is of one
    run.
    """
    mean = fmean(bank)
    latest = np.asarray(screened[-LATEST:], dtype=float)
    off = (latest[:, None] - mean) / sd - _GRID
    log_likelihood = np.interp(off, _OFF, _TABLE).sum(axis=0) - len(bank) / 2 * _GRID**2
    weight = np.exp(log_likelihood - log_likelihood.max())
    return mean + sd * float((weight * _GRID).sum() / weight.sum())


def _log_density(off: float) -> float:
    """How likely a proposal's run is so many deviations above the level: ln of a density."""
    at, below = NormalDist().pdf(off), NormalDist().cdf
    harm = (below(off) - below(off - 2)) / 2
    ruin = (below(off) - below(off - 10)) / 10
    gain = (below(off + 3) - below(off + 1)) / 2
    return math.log(max(1e-300, _NOTHING * at + _HARM * harm + _RUIN * ruin + _GAIN * gain))


_OFF: Final = np.linspace(-_FAR_SD, _FAR_SD, 1501)
_TABLE: Final = np.array([_log_density(off) for off in _OFF])


def plan_recheck(ledger: Ledger, job: Job[Any], base: bytes, tree: bytes) -> None:
    """Commit to a fresh run of a tree, and to one of its base where it is compared with that."""
    if ledger.style.name == "differences":
        ledger.plan_fresh_pair(job, base, tree)
    else:
        ledger.plan(job, role="candidate", tree=tree)


def beside_base(runs: Sequence[PlannedRun], level_nano: int) -> tuple[list[PlannedRun], list[int]]:
    """Return a change's runs, and in 1e-9 units what each is compared with: `level_nano`, or a run.

    Without those whose base failed.
    """
    bases = {run.seed: run.run.metric_nano for run in runs if run.role == "base" and run.run}
    own = [(run, bases.get(run.seed, level_nano)) for run in runs if run.role == "candidate"]
    compared = [(run, base_nano) for run, base_nano in own if base_nano is not None]
    return [run for run, _ in compared], [base_nano for _, base_nano in compared]


def does_base_fail(runs: Sequence[PlannedRun]) -> bool:
    """Return whether the base failed too often to be an accident."""
    bases = [run.run for run in runs if run.role == "base" and run.run]
    return sum(run.metric_nano is None for run in bases) >= MAX_BASE_FAILURES


def told_runs(runs: list[PlannedRun]) -> list[Run]:
    """Return the runs that a record tells of: that a base failed is no failure of the change."""
    return [
        run for run in ended_runs(runs) if run.role == "candidate" or run.metric_nano is not None
    ]
