"""Overfitting: a change that gains on a task's visible data but not on its holdout."""

from collections.abc import Sequence
from math import sqrt
from statistics import fmean, stdev

from protocol.manifest import TaskManifest
from protocol.runs import ON_SECRET, Run
from protocol.units import NANO

# If the holdout shows at least this share of the visible gain, a trial counts as undecided.
_LEAST_SHARE = 0.5
_LEAST_PAIRS = 2
_ERRORS = 3.0  # standard errors by which a visible gain exceeds zero


def overfit_reason(runs: Sequence[Run], manifest: TaskManifest | None) -> str | None:
    """Return why the candidate of a trial that did not pass is overfit; None if it is not.

    The reason quotes no untrusted text. It states the mean gains on visible data and holdout,
    computed from the scores in `runs`, which are rounded.
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
    if len(pairs) < _LEAST_PAIRS:
        return None
    sign = manifest.metric.sign
    visible = [sign * (_visible(base) - _visible(candidate)) for base, candidate in pairs]
    held_out = [sign * (_held_out(base) - _held_out(candidate)) for base, candidate in pairs]
    gain, gain_there = fmean(visible), fmean(held_out)
    if not _is_plain(visible, manifest.noise_floor_nano) or gain_there >= _LEAST_SHARE * gain:
        return None
    return (
        f"discarded as overfit: gain {gain / NANO:+.6f} on the visible data, "
        f"{gain_there / NANO:+.6f} on the holdout"
    )


def _is_plain(gains: Sequence[int], floor_nano: int) -> bool:
    """Return True if a gain is larger than a change without effect could reach by chance."""
    error = max(stdev(gains), sqrt(2) * floor_nano) / sqrt(len(gains))
    return fmean(gains) > _ERRORS * error


def _visible(run: Run) -> int:
    return run.metric_nano or 0  # a run with status ok has both figures


def _held_out(run: Run) -> int:
    return run.secret_nano or 0


def _failed_on_secret(run: Run) -> bool:
    reason = (run.reason or "").removeprefix("in ")
    return run.status != "ok" and not run.was_cut_off_by_others and reason.startswith(ON_SECRET)
