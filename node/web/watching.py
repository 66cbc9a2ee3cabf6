"""Changes that are pushed to a page: current runs, new experiments and records, and open jobs."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from node.line.proposals import ProposalStep, find_proposal, open_proposals
from node.reporting.experiments import experiment_documents
from node.reporting.jobs import JobDocument, open_jobs_document
from node.reporting.now import NowDocument
from node.reporting.open_home import OpenHome
from node.reporting.proposals import proposal_document
from node.store.store import Store
from node.web.events import Kind
from node.web.reading import Library

_MOST_AT_ONCE: Final = 50
# These fields change all the time. They are sent with other changes, and alone only every 3 s.
# Otherwise the page would be redrawn twice a second, perhaps on the machine that it measures.
_RESTLESS: Final = frozenset({"seconds", "curve", "device", "runs_per_hour", "counted_share"})
_RESTLESS_S: Final = 3.0


class ChangeWatch:
    """A callable that compares the current state with the state at its previous call."""

    def __init__(self, library: Library, now: Callable[[], NowDocument]) -> None:
        self._library = library
        self._now = now
        self._sent_now: Mapping[str, Any] | None = None
        self._sent_s = 0.0
        self._sent_jobs: dict[int, JobDocument] = {}
        self._sent_proposals: dict[int, ProposalStep] = {}
        self._experiment = self._record = -1

    async def __call__(self) -> list[tuple[Kind, Mapping[str, Any]]]:
        """Return the changes since the last call. The first call reports runs and open jobs."""
        changed: list[tuple[Kind, Mapping[str, Any]]] = []
        now = self._now()
        seen, at_s = _settled(now), time.monotonic()
        is_due = now["now"] is not None and at_s - self._sent_s >= _RESTLESS_S
        if seen != self._sent_now or is_due:
            self._sent_now, self._sent_s = seen, at_s
            changed.append(("now", now))
        return changed + await self._library.read(self._in_store)

    def _in_store(self, open_home: OpenHome) -> list[tuple[Kind, Mapping[str, Any]]]:
        store = open_home.store
        changed: list[tuple[Kind, Mapping[str, Any]]] = []
        newest = store.records.last_number()
        if newest != self._record:
            is_first = self._record < 0
            since, self._record = self._record, newest
            if not is_first:
                changed += self._new(open_home, since)
        jobs = {job["job"]: job for job in open_jobs_document(store, self._sent_jobs)}
        changed += [("job", job) for job in jobs.values() if job != self._sent_jobs.get(job["job"])]
        self._sent_jobs = {number: job for number, job in jobs.items() if job["state"] == "open"}
        return changed + self._proposals(store)

    def _proposals(self, store: Store) -> list[tuple[Kind, Mapping[str, Any]]]:
        """Return the proposals that are new, were decided or began since the last call."""
        jobs = {job.id: job.step for job in open_proposals(store)}
        before, self._sent_proposals = self._sent_proposals, jobs
        waiting = sum(step.state == "waiting" for step in jobs.values())
        changed = [number for number, step in jobs.items() if step != before.get(number)]
        ended = sorted(before.keys() - jobs.keys())
        found = [find_proposal(store, number) for number in (*ended, *changed)]
        return [
            ("proposal", {**proposal_document(store, job), "waiting": waiting}) for job in found
        ]

    def _new(self, open_home: OpenHome, since: int) -> list[tuple[Kind, Mapping[str, Any]]]:
        store = open_home.store
        rows = store.experiments.listed(after=since, newest_first=True, limit=_MOST_AT_ONCE + 1)
        envelopes = store.records.after(since, limit=_MOST_AT_ONCE + 1)
        if max(len(rows), len(envelopes)) > _MOST_AT_ONCE:
            return [("gap", {})]
        return [
            *(("experiment", dict(row)) for row in experiment_documents(store, rows[::-1])),
            *(
                ("record", {"id": one.id.hex(), "kind": one.kind, "own": one.own})
                for one in envelopes
            ),
        ]


def _settled(now: NowDocument) -> Mapping[str, Any]:
    """Return the fields without those that change all the time, such as seconds and curves."""
    running = now["now"]
    if running is None:
        return {"now": None}
    settled = {name: value for name, value in running.items() if name not in _RESTLESS}
    runs = [
        {name: value for name, value in run.items() if name not in _RESTLESS}
        for run in running["runs"]
    ]
    return {"now": {**settled, "runs": runs}}
