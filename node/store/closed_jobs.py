"""Finished jobs as they were read, so that none is read twice: they change no more.

For the one writer of a store. What it finishes is read when it is next asked for.
"""

from bisect import bisect_right, insort
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, cast

from node.store import jobs
from node.store.database import Database
from node.store.jobs import Job, LineKey, S, Step

_number = attrgetter("id")


class ClosedJobs:
    """The finished jobs of each line and kind that were asked for, oldest first."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[tuple[LineKey, type[Step]], list[Job[Any]]] = {}
        self._new: dict[tuple[LineKey, type[Step]], list[int]] = {}

    def of(self, line: LineKey, kinds: Sequence[type[S]], *, after: int = 0) -> list[Job[S]]:
        """Return a line's finished jobs of these kinds after number `after`, oldest first."""
        found: list[Job[S]] = []
        for kind in kinds:
            known = self._of_kind(line, kind)
            found += known[bisect_right(known, after, key=_number) :]
        if len(kinds) > 1:
            found.sort(key=_number)
        return found

    def note_closed(self, job_id: int) -> None:
        """Read this job when it is next asked for: it is finished now."""
        for new in self._new.values():
            new.append(job_id)

    def forget(self) -> None:
        """Read everything anew: what was written is taken back, or a finished job was changed."""
        self._known.clear()
        self._new.clear()

    def _of_kind(self, line: LineKey, kind: type[S]) -> list[Job[S]]:
        key = (line, kind)
        if key not in self._known:
            self._known[key] = list[Job[Any]](jobs.closed_jobs(self._database, line, [kind]))
            self._new[key] = []
        known = cast("list[Job[S]]", self._known[key])
        while self._new[key]:
            job = jobs.get_job(self._database, self._new[key].pop(), [kind])
            if job is not None and job.line == line:
                insort(known, job, key=_number)
        return known
