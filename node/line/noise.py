"""How much one run of a line scatters: at first as others of its class say, then as own runs do.

Own runs are those that nobody selected: baselines and both sides of confirmations.
"""

from collections.abc import Sequence
from statistics import fmean, median, variance

from node.line.baseline import BaselineStep
from node.line.drift import surroundings_of
from node.line.job_kinds import ON_ONE_SPLIT
from node.line.ledger import LEAST_RUNS, Ledger
from node.store.jobs import LineKey, PlannedRun
from node.store.store import Store
from protocol.remarks import NoiseBody
from protocol.runs import Run
from protocol.statistics import NoiseEstimate
from protocol.styles import RUNS, Style
from protocol.units import NANO

_LEAST_AUTHORS = 3  # below that the manifest's floor is the better guess
_WITHIN = 4.0  # times the floor, either way: keys are cheap, and a lie must not decide


class RunNoise:
    """How much one run of a line scatters, as far as this node knows."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.read_anew()

    def sd(self) -> float:
        """Return the standard deviation of one run, in the metric's unit."""
        return self.estimate.sd

    def read_anew(self) -> None:
        """Look again: runs that nobody selected have ended."""
        ledger = self._ledger
        floor_nano = ledger.publication.manifest.noise_floor_nano
        self.estimate = known_noise(ledger.store, ledger.key, floor_nano)


def known_noise(store: Store, line: LineKey, floor_nano: int) -> NoiseEstimate:
    """Return the estimate so far; `floor_nano` is the manifest's, to start from without others.

    Runs are compared with others of their tree and job only: a job has one secret split. What ran
    in other surroundings says where to start from, no more.
    """
    manifest = store.records.manifest(line.task)
    style = RUNS if manifest is None else Style.of(manifest)
    found = surroundings_of(store, line)
    after_job = found.after_job if found else 0
    groups: dict[tuple[int, str], list[float]] = {}
    for job in store.jobs.closed_jobs(line, *ON_ONE_SPLIT):  # nobody selected their runs
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
    """Return the differences of a job's pairs, over √2: as if each half scattered so much."""
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
    """Return how much a run scatters as far as is known before any trial, in the metric's unit.

    That is what its class or the task's file says; of a task that does not say it, what the
    baseline's first runs here showed.
    """
    if floor_nano:
        return class_sd(store, line, floor_nano)
    return max(_baselines_sd(store, line), floor_sd(floor_nano))


def _baselines_sd(store: Store, line: LineKey) -> float:
    """Return how much the baseline's own runs scatter: 0 if they all measure the same.

    Runs of one seed meet the same instances, as those of a pair do. If these are alike, two
    programs that are nearly the same differ by no more than instances do.
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
    """Return what others measured on this class: the median of their latest figures."""
    floor = floor_sd(floor_nano)
    latest: dict[bytes, float] = {}
    for record in store.records.listed("noise"):  # in the order of their times
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

    A program's may be 0; yet its figures are whole numbers, and none is told finer than that.
    """
    return max(1, floor_nano) / NANO


def _median_share(degrees: int) -> float:
    """The median of chi-squared over its mean (Wilson & Hilferty): few runs mostly look calm."""
    return (1 - 2 / (9 * degrees)) ** 3
