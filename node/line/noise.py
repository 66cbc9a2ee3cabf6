"""Noise of a line's runs: first from peers of the hardware class, then from this node's runs.

Of this node's runs, only unselected ones count: runs of the baseline and both runs of pairs.
"""

from collections.abc import Sequence
from statistics import fmean, median, variance

from node.line.baseline import BaselineStep
from node.line.environment_change import last_environment
from node.line.job_kinds import ON_ONE_SPLIT
from node.line.line_writer import LEAST_RUNS, LineWriter
from node.store.jobs import LineKey, PlannedRun
from node.store.store import Store
from protocol.remarks import NoiseBody
from protocol.runs import Run
from protocol.statistics import NoiseEstimate
from protocol.styles import RUNS, Style
from protocol.units import NANO

_LEAST_AUTHORS = 3  # with fewer, the manifest's floor is the better guess
_WITHIN = 4.0  # at most this factor from the floor, since peers may report false values


class RunNoise:
    """This node's estimate of the noise of a line's runs."""

    def __init__(self, line_writer: LineWriter) -> None:
        self._line_writer = line_writer
        self.refresh()

    def sd(self) -> float:
        """Return the standard deviation of one run, in the metric's unit."""
        return self.estimate.sd

    def refresh(self) -> None:
        """Update the estimate after more unselected runs have ended."""
        line_writer = self._line_writer
        floor_nano = line_writer.record_writer.manifest.noise_floor_nano
        self.estimate = known_noise(line_writer.store, line_writer.key, floor_nano)


def known_noise(store: Store, line: LineKey, floor_nano: int) -> NoiseEstimate:
    """Return the estimate so far; without other nodes' figures it starts at `floor_nano`.

    `floor_nano` is the noise floor in the task's manifest. Runs are compared only with runs of the
    same tree and job, as each job has its own secret split. Runs in an earlier environment only
    give a starting value.
    """
    manifest = store.records.manifest(line.task)
    style = RUNS if manifest is None else Style.of(manifest)
    found = last_environment(store, line)
    after_job = found.after_job if found else 0
    groups: dict[tuple[int, str], list[float]] = {}
    for job in store.jobs.closed_jobs(line, *ON_ONE_SPLIT):  # their runs were not selected
        runs = store.jobs.runs_of(job.id)
        if style.name != "runs":
            groups[job.id, "pair"] = _halved_differences(runs)
            continue
        for planned in runs:
            run = planned.run
            if run and run.secret_nano is not None and run.role != "anchor":
                groups.setdefault((job.id, run.role), []).append(run.secret_nano / NANO)
    before = [runs for (job_id, _), runs in groups.items() if job_id <= after_job]
    since = [runs for (job_id, _), runs in groups.items() if job_id > after_job]
    start = NoiseEstimate.from_class(start_sd(store, line, floor_nano))
    if before:
        start = NoiseEstimate.from_class(start.with_groups(before).sd)
    return start.with_groups(since)


def _halved_differences(runs: Sequence[PlannedRun]) -> list[float]:
    """Return the differences of a job's pairs divided by √2, which scatter like single runs."""
    nano: dict[tuple[int, str], int] = {}
    for planned in runs:
        run = planned.run
        if run and run.secret_nano is not None:
            nano[run.seed, run.role] = run.secret_nano
    return [
        (base - nano[seed, "candidate"]) / NANO / 2**0.5
        for (seed, role), base in nano.items()
        if role == "base" and (seed, "candidate") in nano
    ]


def start_sd(store: Store, line: LineKey, floor_nano: int) -> float:
    """Return the noise known before any trial, in the metric's unit.

    It comes from the hardware class or the task's file. If the task states none, it comes from the
    first runs of the baseline here.
    """
    if floor_nano:
        return class_sd(store, line, floor_nano)
    return max(_baselines_sd(store, line), floor_sd(floor_nano))


def _baselines_sd(store: Store, line: LineKey) -> float:
    """Return the scatter of the baseline's own runs; 0 if they all measure the same.

    The scatter of runs with one seed is used if it is not 0: these have the same instances, like
    the runs of a pair. Otherwise the scatter between seeds is used, an upper bound: two nearly
    equal programs differ less than two instances do.
    """
    for job in reversed(store.jobs.closed_jobs(line, BaselineStep)):
        runs = [one.run for one in store.jobs.runs_of(job.id) if one.run and one.run.status == "ok"]
        by_seed: dict[int, list[Run]] = {}
        for run in runs:
            by_seed.setdefault(run.seed, []).append(run)
        splits = [
            [[(getter(run) or 0) / NANO for run in alike] for alike in by_seed.values()]
            for getter in (_public, _secret)
        ]
        again = [variance(alike) for split in splits for alike in split if len(alike) > 1]
        between = [variance(map(fmean, split)) for split in splits if len(split) > 1]
        for found in (again, between):
            if found and fmean(found) > 0:
                return float(fmean(found) ** 0.5)
    return 0.0


def _public(run: Run) -> int | None:
    return run.metric_nano


def _secret(run: Run) -> int | None:
    return run.secret_nano


def class_sd(store: Store, line: LineKey, floor_nano: int) -> float:
    """Return the median of the latest noise that other nodes measured on this hardware class."""
    floor = floor_sd(floor_nano)
    latest: dict[bytes, float] = {}
    for record in store.records.listed("noise"):  # ordered by time
        body = record.body
        if not isinstance(body, NoiseBody) or store.records.is_own(record.id):
            continue
        values = [run.secret_nano / NANO for run in body.runs if run.secret_nano is not None]
        is_of_line = (body.task, body.hardware_class) == (line.task, line.hardware_class)
        if is_of_line and len(values) >= LEAST_RUNS:
            latest[record.author] = variance(values) / _median_share(len(values) - 1)
    if len(latest) < _LEAST_AUTHORS:
        return floor
    measured = median(latest.values()) ** 0.5
    return float(min(_WITHIN * floor, max(floor / _WITHIN, measured)))


def floor_sd(floor_nano: int) -> float:
    """Return a task's noise floor in the metric's unit.

    A program's floor may be 0. The smallest step of a figure, 1e-9, is then used.
    """
    return max(1, floor_nano) / NANO


def shown_sd(sd: float, style: Style) -> float:
    """Return a noise as it is shown: 0 if the task's scores are exact, or if no run differed."""
    return 0.0 if style.is_exact or sd <= floor_sd(0) else sd


def _median_share(degrees: int) -> float:
    """Return the median of chi-squared divided by its mean (Wilson & Hilferty).

    The variance of a few runs is usually too small; dividing by this corrects the median.
    """
    return (1 - 2 / (9 * degrees)) ** 3
