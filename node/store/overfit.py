"""Overfit: a change that gains on the visible data of a task and not on its holdout."""

from collections.abc import Sequence
from statistics import fmean

from protocol.manifest import TaskManifest
from protocol.runs import ON_SECRET, Run
from protocol.units import NANO

# With this share of the visible gain or more on the holdout, a trial is undecided and not overfit.
_LEAST_SHARE = 0.5


def overfit_reason(runs: Sequence[Run], manifest: TaskManifest | None) -> str | None:
    """Return why the candidate of a trial that it did not pass is overfit, None if it is not.

    Its words quote nobody: they have the gains on both sets of data, as rounded in the runs.
    """
    if manifest is None or manifest.program is None or manifest.program.holdout is None:
        return None
    if any(run.role == "candidate" and _failed_on_secret(run) for run in runs):
        return "discarded as overfit: it gains on the visible data and fails on the holdout"
    bases = {run.seed: run for run in runs if run.role == "base" and run.status == "ok"}
    pairs = [
        (bases[run.seed], run)
        for run in runs
        if run.role == "candidate" and run.status == "ok" and run.seed in bases
    ]
    if not pairs:
        return None
    sign = manifest.metric.sign
    visible = fmean(
        sign * ((base.metric_nano or 0) - (candidate.metric_nano or 0)) for base, candidate in pairs
    )
    held_out = fmean(
        sign * ((base.secret_nano or 0) - (candidate.secret_nano or 0)) for base, candidate in pairs
    )
    if visible <= 0 or held_out >= _LEAST_SHARE * visible:
        return None
    return (
        f"discarded as overfit: gain {visible / NANO:+.6f} on the visible data, "
        f"{held_out / NANO:+.6f} on the holdout"
    )


def _failed_on_secret(run: Run) -> bool:
    reason = (run.reason or "").removeprefix("in ")
    return run.status != "ok" and not run.was_cut_off_by_others and reason.startswith(ON_SECRET)
