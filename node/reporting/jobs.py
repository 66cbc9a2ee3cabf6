"""Re-runs of claims as JSON: their progress and their verdicts."""

from collections.abc import Collection
from typing import TypedDict

from node.line.noise import known_noise
from node.line.rerun import RerunStep
from node.line.trial import MetricReading
from node.reporting.experiment import PairDocument
from node.reporting.open_home import OpenHome
from node.reporting.queries import OfJob
from node.store.jobs import Job
from node.store.store import Store
from protocol.errors import UsageError
from protocol.styles import Style
from protocol.units import from_nano


class JobDocument(TypedDict):
    """A re-run. `share` is the fraction of the needed evidence that it has gathered.

    `verdict` is null until it ends.
    """

    job: int
    state: str
    target: str | None
    author: str
    pairs: list[PairDocument]
    share: float
    verdict: str | None
    gain: float | None
    lower: float | None
    upper: float | None
    reason: str | None
    rerun: str | None


def job_document(at: OpenHome, query: OfJob) -> JobDocument:
    """Return a re-run by its job number. Raises UsageError if no re-run has it."""
    job = at.store.jobs.get(query.number, RerunStep)
    if job is None:
        missing = f"there is no re-run with the number {query.number}"
        raise UsageError(missing, "POST /verify queues a re-run")
    return _document(at.store, job)


def open_jobs_document(store: Store, also: Collection[int]) -> list[JobDocument]:
    """Return all open re-runs, and those ended ones whose job number is in `also`."""
    jobs = [job for line in store.jobs.lines() for job in store.jobs.open_jobs(line.key, RerunStep)]
    ended = set(also).difference(job.id for job in jobs)
    jobs += [job for one in sorted(ended) if (job := store.jobs.get(one, RerunStep))]
    return [_document(store, job) for job in jobs]


def _document(store: Store, job: Job[RerunStep]) -> JobDocument:
    step, manifest = job.step, store.records.manifest(job.line.task)
    pairs, share = [], 0.0
    if manifest is not None:
        reading = MetricReading(
            sign=manifest.metric.sign,
            noise=known_noise(store, job.line, manifest.noise_floor_nano),
            policy=step.policy,
            style=Style.of(manifest),
        )
        found = step.weigh(store.jobs.runs_of(job.id), reading, manifest)
        pairs = list(found.pairs)
        share = found.latest.evidence_share if found.latest else 0.0
    return {
        "job": job.id,
        "state": job.state,
        "target": None if step.target is None else step.target.hex(),
        "author": step.author.hex(),
        "pairs": [
            {
                "seed": pair.seed,
                "base": from_nano(pair.base.secret_nano),
                "candidate": from_nano(pair.candidate.secret_nano),
            }
            for pair in pairs
        ],
        "share": share,
        "verdict": step.verdict or None,
        "gain": from_nano(step.measured_nano),
        "lower": from_nano(step.from_nano),
        "upper": from_nano(step.to_nano),
        "reason": step.reason or None,
        "rerun": None if step.record is None else step.record.hex(),
    }
