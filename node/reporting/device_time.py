"""The device time of a line's runs: by purpose, and the share of a span spent training."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from node.line.catch_up import CatchUpStep
from node.line.head_recheck import HeadRecheckStep
from node.line.job_kinds import KINDS
from node.line.pair_trial import HeadTrial
from node.line.promotion_trial import PromotionTrial
from node.reporting.concluded import ConcludedIdea, ConcludedTrial, TimeSpan
from node.reporting.peers_part import PeersPart
from node.store.experiments import Experiment
from node.store.jobs import Line, LineKey
from node.store.store import Store
from protocol.record_kinds import ResultBody
from trainer.measuring.timeline import Stage

_CONFIRMED: Final[dict[type[HeadTrial], str]] = {
    PromotionTrial: "promotion trials",
    CatchUpStep: "peers' sources against the head",
    HeadRecheckStep: "repeated trials of the head",
}
# A job that began longer than this before a span has ended by its start.
_LONGEST_JOB_MS: Final = 24 * 3_600_000


def counted_share_of(store: Store, line: LineKey, span: TimeSpan) -> float | None:
    """Return the share of a span in which runs of a line trained, from 0 to 1.

    Time in which several runs trained in parallel counts once. Return None if no run's stages are
    known.
    """
    stages = list(_stages(store, line, span))
    return share_of(stages, span) if stages else None


def share_of(stages: Iterable[Stage], span: TimeSpan) -> float:
    """Return the share of a span that training stages cover."""
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


def device_ms_of(
    store: Store,
    line: Line,
    span: TimeSpan,
    entries: Iterable[Experiment],
    ideas: Iterable[ConcludedIdea],
    confirmations: Iterable[ConcludedTrial],
    peers: PeersPart,
) -> tuple[tuple[str, int], ...]:
    """Return the device time of ended runs by purpose, in milliseconds, largest first."""
    spent: Counter[str] = Counter()
    for entry in entries:
        body = store.records.get(entry.id).body if entry.stage == "baseline" else None
        spent["the baseline"] += body.cost.device_ms if isinstance(body, ResultBody) else 0
    for job in store.jobs.closed_jobs(line.key, *(kind for kind in KINDS if kind.TIME_SPENT_ON)):
        if job.created_ms in span:
            ended = (one.outcome.run for one in store.jobs.runs_of(job.id) if one.outcome)
            spent[job.step.TIME_SPENT_ON] += sum(run.ms + run.serve_ms for run in ended)
    for idea in ideas:
        spent["peers' ideas" if idea.authors else "own ideas"] += idea.device_ms
    for one in confirmations:
        spent[_CONFIRMED[one.kind]] += one.device_ms
    spent["re-runs of claims"] += peers.device_ms
    spent["patches of the head"] += peers.removed_ms
    most_first = sorted(spent.items(), key=lambda one: (-one[1], one[0]))
    return tuple((what, ms) for what, ms in most_first if ms)
