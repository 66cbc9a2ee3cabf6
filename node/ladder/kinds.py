"""Counts of this node's tried and kept changes on a task, by kind of change."""

from collections import Counter
from dataclasses import dataclass

from agent.model.facts import CATEGORIES, Category, category
from agent.source.hunks import hunks_of
from node.ladder.transfer_candidates import check_rungs
from node.line.experiment import ExperimentStep
from node.store.jobs import LineKey
from node.store.store import Store
from protocol.errors import UsageError
from protocol.manifest import TaskManifest


@dataclass(frozen=True, slots=True, kw_only=True)
class KindOnTask:
    """The numbers of changes of one kind that a line tried, kept, and could not measure."""

    line: LineKey
    kind: Category
    tried: int
    kept: int
    failed: int


def rungs_here(store: Store, manifest: TaskManifest) -> list[LineKey]:
    """Return this home's lines on a task and on tasks whose changes can be transferred to it."""
    found = []
    for line in store.jobs.lines():
        other = store.records.manifest(line.task)
        if other is None:
            continue
        try:
            if other.id != manifest.id:
                check_rungs(other, manifest)
        except UsageError:  # a task of another ladder
            continue
        found.append(line.key)
    return found


def kinds_tried(store: Store, line: LineKey) -> list[KindOnTask]:
    """Return the kinds of change that were tried on a line, the most tried first."""
    tried: Counter[Category] = Counter()
    kept: Counter[Category] = Counter()
    failed: Counter[Category] = Counter()
    for job in store.jobs.closed_jobs(line, ExperimentStep):
        step, idea = job.step, job.step.idea
        is_stack = idea.found_on is not None and idea.found_on.patch is None  # of several kinds
        if idea.author is not None or is_stack or step.decision == "rebased":
            continue
        kind = category(idea.key, hunks_of(idea.edits))
        tried[kind] += 1
        kept[kind] += step.decision == "kept"
        failed[kind] += step.decision in ("failed", "rejected")
    return [
        KindOnTask(line=line, kind=kind, tried=count, kept=kept[kind], failed=failed[kind])
        for kind in sorted(CATEGORIES, key=lambda kind: -tried[kind])
        if (count := tried[kind])
    ]
