"""Early stopping of screens whose training loss predicts that they will not pass.

Only screens are stopped, never a reference run, a recheck, a pair or a run of a peer's claim. A
screen is hopeless if its forecast does not pass. One in twenty hopeless screens continues to its
end: later forecasts learn from these screens, and they show what stopping costs.

If the patch of a hopeless screen is kept, it gains although its training loss is higher. Forecasts
from earlier loss curves would then call every patch on top of it hopeless. So all earlier loss
curves are dropped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from node.line.experiment import ExperimentStep, screen_level
from node.line.job_kinds import KINDS
from node.line.line_context import LineContext
from node.line.loss_forecast import FinishedRun, LossForecast
from node.line.trial import MetricReading
from node.store.jobs import Job, LineKey, PlannedRun
from node.store.store import Store
from protocol.units import NANO
from trainer.measuring.loss_curve import LossCurve

_LATEST_JOBS: Final = 400  # the latest jobs, from which forecasts learn
_ONE_IN: Final = 20  # one in this many hopeless screens continues to its end


class EarlyStopper:
    """An observer of one screen during training.

    Call the observer with the loss curve to get the reason to stop, or None. `stopped_at_milli` is
    the fraction of the training, in thousandths, after which the screen looked hopeless.
    """

    def __init__(
        self, loss_forecast: LossForecast, reading: MetricReading, needed: float, seed: int
    ):
        """`needed` is the largest metric that passes the screen; here smaller is better."""
        self.stopped_at_milli: int | None = None
        self._loss_forecast = loss_forecast
        self._sign = reading.sign
        self._needed = needed
        self._goes_on = seed % _ONE_IN == 0

    def __call__(self, curve: LossCurve) -> str | None:
        if self.stopped_at_milli is not None or curve.steps is None:
            return None
        found = self._loss_forecast.least(curve.points, curve.steps)
        if found is None or found[0] <= self._needed:
            return None
        least, share = found
        self.stopped_at_milli = round(1000 * share)
        if self._goes_on:
            return None
        best, needed = (f"{self._sign * value:.4f}" for value in (least, self._needed))
        return f"at {share:.0%} of training its loss predicted {best} at best; {needed} is needed"


def early_stopper_for(
    job: Job[Any], run: PlannedRun, line_context: LineContext
) -> EarlyStopper | None:
    """Return the observer of a run during training; None for a run that is never stopped."""
    step, line_writer = job.step, line_context.line_writer
    is_screen = isinstance(step, ExperimentStep) and run.ordinal == 0 and run.role == "candidate"
    if not (
        line_context.stops_early
        and is_screen
        and line_writer.style.name == "runs"
        and step.reference_nano
    ):
        return None
    if line_writer.record_writer.manifest.target_nano is not None:  # a loss predicts no time
        return None
    reading = line_context.reading()
    level = reading.value(
        screen_level(line_writer, step.base, step.reference_nano, reading.noise.sd)
    )
    needed = level - reading.policy.screen_sd * reading.screening_sd
    runs = finished_runs(line_writer.store, line_writer.key, reading.sign)
    return EarlyStopper(
        LossForecast(runs, step.base, reading.screening_sd), reading, needed, run.seed
    )


def finished_runs(store: Store, line: LineKey, sign: int) -> list[FinishedRun]:
    """Return a line's latest finished runs that printed their loss, oldest first."""
    finished: list[FinishedRun] = []
    for job in store.jobs.closed_jobs(line, *KINDS, after=store.jobs.last_job() - _LATEST_JOBS):
        runs = store.jobs.runs_of(job.id)
        if _is_lost_keep(job, runs):
            finished.clear()
        for planned in runs:
            outcome = planned.outcome
            if outcome is None or outcome.run.metric_nano is None or outcome.steps is None:
                continue
            step, is_change = job.step, planned.role == "candidate"
            finished.append(
                FinishedRun(
                    job=job.id,
                    tree=planned.tree,
                    base=step.base
                    if is_change and isinstance(step, ExperimentStep)
                    else planned.tree,
                    points=outcome.curve,
                    steps=outcome.steps,
                    metric=sign * outcome.run.metric_nano / NANO,
                )
            )
    return finished


def _is_lost_keep(job: Job[Any], runs: Sequence[PlannedRun]) -> bool:
    """Return True if a hopeless screen continued by chance, and its patch was kept."""
    was_given_up = any(run.outcome and run.outcome.stopped_at_milli is not None for run in runs)
    return was_given_up and job.step.decision == "kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """The effect of early stopping on `screens` screens.

    `stopped` counts screens that were stopped, which saved about `saved_ms` of training.
    `let_go_on` counts hopeless screens that continued, and `kept` counts those of them whose patch
    was kept.
    """

    screens: int
    stopped: int
    saved_ms: int
    let_go_on: int
    kept: int


def stopped_in(store: Store, line: LineKey, *, since_ms: int, until_ms: int) -> Stopped:
    """Return the effect of early stopping between two times, in milliseconds since 1970."""
    screens = stopped = saved_ms = let_go_on = kept = 0
    for job in store.jobs.closed_jobs(line, ExperimentStep):
        if not since_ms <= job.created_ms <= until_ms:
            continue
        first = next((run.outcome for run in store.jobs.runs_of(job.id) if run.outcome), None)
        if first is None:
            continue
        screens += 1
        if first.stopped_at_milli is None:
            continue
        if first.run.status == "stopped":
            stopped += 1
            saved_ms += round(first.run.ms * (1000 / first.stopped_at_milli - 1))
        else:
            let_go_on += 1
            kept += job.step.decision == "kept"
    return Stopped(
        screens=screens, stopped=stopped, saved_ms=saved_ms, let_go_on=let_go_on, kept=kept
    )
