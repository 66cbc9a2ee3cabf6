"""A node's trials of peers' claims, read from its store, and the patches in its heads."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from node.line.catch_up import CatchUpStep
from node.line.experiment import ExperimentStep
from node.line.job_kinds import KINDS
from node.line.rerun import RerunStep
from node.store.jobs import Job, LineKey
from node.store.store import Store
from protocol.evidence import GAINS
from protocol.record_kinds import ResultBody

_WITHOUT = ("a line without one of its parts",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One trial of a claim: as a patch, as a whole tree, or as it was made (`kind`).

    `patch` is the peer's record, made on `made_on`. `tree` is what ran, on or against `base`.
    Several claims that were tried as one stack share its runs.
    """

    kind: str
    author: bytes
    patch: bytes
    made_on: bytes
    base: bytes
    tree: bytes
    decision: str
    runs: float
    device_s: float

    @property
    def is_taken(self) -> bool:
        """True if the working line or the verified head took it over."""
        return self.decision == "kept" or (self.kind == "catchup" and self.decision in GAINS)


def slots_of(store: Store, line: LineKey) -> list[Slot]:
    """Return the trials of others' claims, in order."""
    slots: list[tuple[int, Slot]] = []
    for job in store.jobs.closed_jobs(line, ExperimentStep, CatchUpStep, RerunStep):
        slots += [(job.id, slot) for slot in _slot(store, job)]
    return [slot for _, slot in sorted(slots, key=lambda one: one[0])]


def runs_by_kind(store: Store, line: LineKey) -> Mapping[str, int]:
    """Return the number of runs of each kind of job."""
    counts: Counter[str] = Counter()
    for job in store.jobs.closed_jobs(line, *KINDS):
        counts[job.step.KIND] += sum(run.outcome is not None for run in store.jobs.runs_of(job.id))
    return dict(counts)


def contents_of(
    slots: list[Slot], baseline: bytes, names: Mapping[bytes, str]
) -> Mapping[bytes, tuple[str, ...]]:
    """Return the patches in each tree that the line has had.

    `names` are by the peer's patch record. A patch counts as contained even if a part of it was
    there before. A line from which a part was removed is reported as such.
    """
    contents: dict[bytes, tuple[str, ...]] = defaultdict(lambda: _WITHOUT, {baseline: ()})
    for slot in slots:
        if slot.is_taken:
            below = contents[slot.base if slot.kind == "experiment" else slot.made_on]
            contents[slot.tree] = (*contents.get(slot.tree, below), names[slot.patch])
    return contents


def _slot(store: Store, job: Job[Any]) -> Iterator[Slot]:
    ended = [run.outcome.run for run in store.jobs.runs_of(job.id) if run.outcome]
    runs, device_s = len(ended), sum(run.ms + run.serve_ms for run in ended) / 1000
    if isinstance(job.step, ExperimentStep):
        trial = job.step
        for author, patch in zip(trial.idea.authors, trial.idea.parents, strict=False):
            yield Slot(
                kind=job.step.KIND,
                author=author,
                patch=patch,
                made_on=_base_of(store, patch),
                base=trial.base,
                tree=trial.tree,
                decision=trial.decision,
                runs=runs / len(trial.idea.authors),
                device_s=device_s / len(trial.idea.authors),
            )
    elif isinstance(job.step, CatchUpStep):
        head = job.step
        yield Slot(
            kind=job.step.KIND,
            author=head.author,
            patch=head.patch,
            made_on=_base_of(store, head.patch),
            base=head.base,
            tree=head.tree,
            decision=head.verdict,
            runs=runs,
            device_s=device_s,
        )
    else:
        asked = job.step
        if asked.part is not None:  # the node's own question of the gain of a part of the head
            return
        assert asked.target is not None
        said = store.records.get(asked.target).body
        assert isinstance(said, ResultBody)
        assert said.patch is not None
        yield Slot(
            kind=job.step.KIND,
            author=asked.author,
            patch=said.patch,
            made_on=_base_of(store, said.patch),
            base=asked.base,
            tree=asked.tree,
            decision=asked.verdict,
            runs=runs,
            device_s=device_s,
        )


def _base_of(store: Store, patch: bytes) -> bytes:
    body = store.records.patch(patch)
    assert body is not None
    return body.base
