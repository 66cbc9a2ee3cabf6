"""What is run next: runs that are planned and have not begun, for whoever looks."""

from collections.abc import Collection, Iterator
from itertools import islice

from node.line.job_kinds import KINDS
from node.line.job_step import RunDescription
from node.store.jobs import LineKey
from node.store.store import Store


def upcoming(
    store: Store, line: LineKey, begun: Collection[tuple[int, int]], *, most: int
) -> list[RunDescription]:
    """Return at most so many, about in the order in which the agenda takes them.

    `begun` are runs by job and ordinal that are under way.
    """
    return list(islice(_planned(store, line, begun), most))


def _planned(
    store: Store, line: LineKey, begun: Collection[tuple[int, int]]
) -> Iterator[RunDescription]:
    jobs = store.jobs.open_jobs(line, *KINDS)
    for job in sorted(jobs, key=lambda one: KINDS.index(type(one.step))):
        for run in store.jobs.open_runs_of(job.id):
            if (run.job_id, run.ordinal) not in begun:
                yield job.step.describe(store, run)
