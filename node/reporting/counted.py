"""The counted share: of a span of time, how much of it some run trained with its clock running."""

from collections.abc import Iterable, Iterator
from typing import Final

from node.line.job_kinds import KINDS
from node.reporting.concluded import TimeSpan
from node.store.jobs import LineKey
from node.store.store import Store
from trainer.measuring.timeline import Stage

_LONGEST_JOB_MS: Final = (
    24 * 3_600_000
)  # a job that began earlier than that before the span is over


def counted_share_of(store: Store, line: LineKey, span: TimeSpan) -> float | None:
    """Return the share of a span in which runs of a line trained, from 0 to 1.

    Runs beside each other count once. None where no run's stages are known.
    """
    stages = list(_stages(store, line, span))
    return share_of(stages, span) if stages else None


def share_of(stages: Iterable[Stage], span: TimeSpan) -> float:
    """Return the share of a span that the stages cover that count."""
    covered_ms, until_ms = 0, span.since_ms
    for stage in sorted(stages, key=lambda one: one.start_ms):
        if stage.counts and stage.end_ms > until_ms:
            start_ms = max(stage.start_ms, until_ms)
            until_ms = min(stage.end_ms, span.until_ms)
            covered_ms += max(0, until_ms - start_ms)
    return covered_ms / max(1, span.until_ms - span.since_ms)


def _stages(store: Store, line: LineKey, span: TimeSpan) -> Iterator[Stage]:
    closed = store.jobs.closed_jobs(line, *KINDS)
    recent = [job for job in closed if job.created_ms >= span.since_ms - _LONGEST_JOB_MS]
    for job in [*recent, *store.jobs.open_jobs(line, *KINDS)]:
        for run in store.jobs.runs_of(job.id):
            if run.outcome is not None:
                yield from run.outcome.stages
