"""The state that the research loop needs after a kill: lines, jobs, planned runs, tried sources.

A finished job is read from the database once, since it no longer changes. A decision and its record
are written in one transaction, which the caller opens. A write outside of a transaction is a
transaction of its own.
"""

from bisect import bisect_right, insort
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, cast

from node.home.faults import DAMAGED_HINT, DamagedStoreError
from node.store.database import Database
from node.store.jobs import (
    Job,
    Line,
    LineKey,
    PlannedRun,
    S,
    Step,
    StoredOutcome,
    body_value,
    decode_outcome,
    encode_outcome,
)
from protocol.encoding import Value, encode
from protocol.errors import Rejected
from protocol.runs import Role, Run

_number = attrgetter("id")
_READ: Final = 512  # parsed steps to cache: more than are ever in the queue


class JobStore:
    """The queue of jobs with their runs, and the state of each line."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # A writer's cache: each line's finished jobs of a kind, and jobs not read yet.
        self._closed: dict[tuple[LineKey, type[Step]], list[Job[Any]]] = {}
        self._closed_since: dict[tuple[LineKey, type[Step]], list[int]] = {}
        database.follow(rolled_back=self._forget_closed)

    def line(self, key: LineKey) -> Line | None:
        """Return the state of a line; None before its first baseline."""
        rows = self._database.rows(
            "SELECT verified, working, stack, reference, promotion_trial_ms FROM line"
            " WHERE task = ? AND class = ?",
            (key.task, key.hardware_class),
        )
        if not rows:
            return None
        verified, working, stack, reference, promotion_trial_ms = rows[0]
        return Line(
            task=key.task,
            hardware_class=key.hardware_class,
            verified=verified,
            working=working,
            stack=tuple(item for item in _items(stack) if isinstance(item, bytes)),
            reference_nano=tuple(item for item in _items(reference) if isinstance(item, int)),
            promotion_trial_ms=promotion_trial_ms,
        )

    def lines(self) -> list[Line]:
        """Return the state of every line of this node."""
        rows = self._database.rows("SELECT task, class FROM line ORDER BY task, class")
        keys = [LineKey(task=task, hardware_class=name) for task, name in rows]
        return [line for key in keys if (line := self.line(key)) is not None]

    def save_line(self, line: Line) -> None:
        """Store the state of a line."""
        values = (line.task, line.hardware_class, line.verified, line.working)
        more = (
            encode(list(line.stack)),
            encode(list(line.reference_nano)),
            line.promotion_trial_ms,
        )
        with self._database.writing():
            self._database.rows(
                "INSERT OR REPLACE INTO line (task, class, verified, working, stack, reference,"
                " promotion_trial_ms) VALUES (?,?,?,?,?,?,?)",
                values + more,
            )

    def open_job(
        self, line: LineKey, step: S, *, created_ms: int, split: bytes | None = None
    ) -> Job[S]:
        """Add a job to the queue; `split` names the secret split that its runs share."""
        body = encode(step.to_value())
        with self._database.writing():
            number = self._database.insert(
                "INSERT INTO job (task, class, kind, state, body, created_ms, split)"
                " VALUES (?,?,?,'open',?,?,?)",
                (line.task, line.hardware_class, step.KIND, body, created_ms, split),
            )
        return Job(
            id=number, line=line, step=step, state="open", created_ms=created_ms, split=split
        )

    def update_step(self, job: Job[Step], step: S) -> Job[S]:
        """Store the progress of a job; return the updated job."""
        if job.state == "done":
            self._forget_closed()
        values = (encode(step.to_value()), job.id)
        with self._database.writing():
            self._database.rows("UPDATE job SET body = ? WHERE id = ?", values)
        return cast("Job[S]", replace(job, step=step))

    def close_job(self, job_id: int) -> None:
        """Remove a job from the queue; its runs stay."""
        with self._database.writing():
            self._database.rows("UPDATE job SET state = 'done' WHERE id = ?", (job_id,))
            for since in self._closed_since.values():
                since.append(job_id)

    def close_as(self, job: Job[Step], step: Step) -> None:
        """Change a job's kind and remove it from the queue; its runs and its split stay."""
        values = (step.KIND, encode(step.to_value()), job.id)
        with self._database.writing():
            self._database.rows("UPDATE job SET kind = ?, body = ? WHERE id = ?", values)
            self.close_job(job.id)

    def open_jobs(self, line: LineKey, *kinds: type[S]) -> list[Job[S]]:
        """Return a line's jobs of these kinds in the queue, oldest first."""
        return self._of_line(line, "state = 'open'", kinds)

    def open_ids(self, line: LineKey) -> set[int]:
        """Return the numbers of all of a line's jobs in the queue."""
        rows = self._database.rows(
            "SELECT id FROM job WHERE task = ? AND class = ? AND state = 'open'",
            (line.task, line.hardware_class),
        )
        return {number for (number,) in rows}

    def closed_jobs(self, line: LineKey, *kinds: type[S], after: int = 0) -> list[Job[S]]:
        """Return a line's finished jobs of these kinds after number `after`, oldest first."""
        if not self._database.is_writer:  # another process may finish some
            return self._of_line(line, "state = 'done' AND id > :after", kinds, after=after)
        found: list[Job[S]] = []
        for kind in kinds:
            known = self._closed_of(line, kind)
            found += known[bisect_right(known, after, key=_number) :]
        if len(kinds) > 1:
            found.sort(key=_number)
        return found

    def get(self, job_id: int, *kinds: type[S]) -> Job[S] | None:
        """Return the job with this number; None if it is of another kind."""
        found = self._jobs("id = :id", kinds, {"id": job_id})
        return found[0] if found else None

    def last_job(self) -> int:
        """Return the number of the latest job of any line; 0 before the first."""
        return int(self._database.rows("SELECT coalesce(max(id), 0) FROM job")[0][0])

    def plan_run(self, job_id: int, *, role: Role, tree: bytes, seed: int) -> PlannedRun:
        """Store a run and its seed before it starts. Its ordinal is the job's next free ordinal."""
        with self._database.writing():
            ((ordinal,),) = self._database.rows(
                "SELECT count(*) FROM planned_run WHERE job = ?", (job_id,)
            )
            self._database.rows(
                "INSERT INTO planned_run (job, ordinal, role, tree, seed) VALUES (?,?,?,?,?)",
                (job_id, ordinal, role, tree, seed),
            )
        return _planned(job_id, ordinal, role, tree, seed, None)

    def finish_run(self, run: PlannedRun, outcome: StoredOutcome) -> PlannedRun:
        """Store the outcome of a planned run."""
        with self._database.writing():
            self._database.rows(
                "UPDATE planned_run SET outcome = ? WHERE job = ? AND ordinal = ?",
                (encode_outcome(outcome), run.job_id, run.ordinal),
            )
        return replace(run, outcome=outcome)

    def runs_of(self, job_id: int) -> list[PlannedRun]:
        """Return a job's runs in the order they were planned."""
        return self._runs("job = ? ORDER BY ordinal", (job_id,))

    def open_runs_of(self, job_id: int) -> list[PlannedRun]:
        """Return a job's unfinished runs in the order they were planned."""
        return self._runs("job = ? AND outcome IS NULL ORDER BY ordinal", (job_id,))

    def latest_of(self, line: LineKey, tree: bytes, *, limit: int) -> list[StoredOutcome]:
        """Return the outcomes of the latest runs of a tree on a line, newest first."""
        ended = self._runs(
            "tree = ? AND outcome IS NOT NULL"
            " AND job IN (SELECT id FROM job WHERE task = ? AND class = ?)"
            " ORDER BY job DESC, ordinal DESC LIMIT ?",
            (tree, line.task, line.hardware_class, limit),
        )
        return [one.outcome for one in ended if one.outcome is not None]

    def outcomes_of(self, runs: Sequence[Run]) -> list[StoredOutcome]:
        """Return the stored outcomes of this node's `runs`, in the order of `runs`.

        Runs without a stored outcome are left out.
        """
        places = ",".join("?" * len(runs))
        ended = self._runs(
            f"seed IN ({places}) AND outcome IS NOT NULL ORDER BY job, ordinal",
            [run.seed for run in runs],
        )
        kept = [one.outcome for one in ended if one.outcome is not None]
        return [one for run in runs for one in kept if one.run == run]

    def count_runs(self, task: bytes, *kinds: type[Step], before_job: int | None = None) -> int:
        """Return the number of finished runs of a task's jobs of these kinds.

        `before_job`: count only jobs with a lower number.
        """
        places = ",".join("?" * len(kinds))
        ((count,),) = self._database.rows(
            "SELECT count(outcome) FROM planned_run JOIN job ON job = id"  # noqa: S608 (places only)
            f" WHERE task = ? AND kind IN ({places}) AND id < coalesce(?, id + 1)",
            (task, *(kind.KIND for kind in kinds), before_job),
        )
        return int(count)

    def tried(self, task: bytes, fingerprint: bytes) -> bool:
        """Return True if a source with this canonical AST was ever run."""
        statement = "SELECT 1 FROM tried WHERE task = ? AND fingerprint = ?"
        return bool(self._database.rows(statement, (task, fingerprint)))

    def result_of(self, task: bytes, fingerprint: bytes) -> bytes | None:
        """Return the latest result of a source with this canonical AST; None if there is none."""
        statement = "SELECT record FROM tried WHERE task = ? AND fingerprint = ?"
        rows = self._database.rows(statement, (task, fingerprint))
        return rows[0][0] if rows else None

    def fingerprints(self, task: bytes) -> set[bytes]:
        """Return the fingerprints of all sources of a task that were ever run."""
        statement = "SELECT fingerprint FROM tried WHERE task = ?"
        return {row[0] for row in self._database.rows(statement, (task,))}

    def mark_tried(self, task: bytes, fingerprint: bytes, record: bytes | None = None) -> None:
        """Store that a source with this canonical AST was run, and its result record."""
        with self._database.writing():
            self._database.rows(
                "INSERT INTO tried (task, fingerprint, record) VALUES (?,?,?)"
                " ON CONFLICT DO UPDATE SET record = coalesce(excluded.record, record)",
                (task, fingerprint, record),
            )

    def values(self) -> Iterator[Value]:
        """Yield all values in lines, jobs and planned runs that may name a blob."""
        for verified, working, stack in self._database.stream(
            "SELECT verified, working, stack FROM line"
        ):
            yield [verified, working, body_value(stack)]
        for (body,) in self._database.stream("SELECT body FROM job"):
            yield body_value(body)
        for (tree,) in self._database.stream("SELECT DISTINCT tree FROM planned_run"):
            yield tree

    def _closed_of(self, line: LineKey, kind: type[S]) -> list[Job[S]]:
        """Return a line's finished jobs of a kind; read those that finished since the last call."""
        key = (line, kind)
        if key not in self._closed:
            self._closed[key] = list[Job[Any]](self._of_line(line, "state = 'done'", [kind]))
            self._closed_since[key] = []
        known = cast("list[Job[S]]", self._closed[key])
        while self._closed_since[key]:
            job = self.get(self._closed_since[key].pop(), kind)
            if job is not None and job.line == line:
                insort(known, job, key=_number)
        return known

    def _forget_closed(self) -> None:
        """Clear the cache, after a rollback or a change of a finished job."""
        self._closed.clear()
        self._closed_since.clear()

    def _of_line(
        self, line: LineKey, condition: str, kinds: Sequence[type[S]], **values: int
    ) -> list[Job[S]]:
        of_line = {"task": line.task, "class": line.hardware_class, **values}
        return self._jobs(f"task = :task AND class = :class AND {condition}", kinds, of_line)

    def _jobs(
        self, condition: str, kinds: Sequence[type[S]], values: Mapping[str, object]
    ) -> list[Job[S]]:
        by_word = {kind.KIND: kind for kind in kinds}
        words = {f"kind{number}": word for number, word in enumerate(by_word)}
        places = ", ".join(f":{name}" for name in words)
        rows = self._database.rows(
            "SELECT id, task, class, kind, state, body, created_ms, split FROM job"  # noqa: S608 (constants)
            f" WHERE {condition} AND kind IN ({places}) ORDER BY id",
            {**values, **words},
        )
        return [
            Job(
                id=number,
                line=LineKey(task=task, hardware_class=hardware_class),
                step=_read_step(by_word[kind], body),
                state=state,
                created_ms=created_ms,
                split=split,
            )
            for number, task, hardware_class, kind, state, body, created_ms, split in rows
        ]

    def _runs(self, condition: str, values: Sequence[object]) -> list[PlannedRun]:
        rows = self._database.rows(
            f"SELECT job, ordinal, role, tree, seed, outcome FROM planned_run WHERE {condition}",  # noqa: S608 (constants)
            values,
        )
        return [_planned(*row) for row in rows]


def _read_step(kind: type[S], body: bytes) -> S:
    return cast("S", _step(kind, body))


@lru_cache(maxsize=_READ)
def _step(kind: type[Step], body: bytes) -> Step:
    """Parse a job's body. Steps are cached: open jobs are read often, and steps are immutable."""
    step = kind.from_value(body_value(body))
    if isinstance(step, Rejected):
        raise DamagedStoreError(f"a job in the store cannot be read: {step.reason}", DAMAGED_HINT)
    return step


def _planned(
    job_id: int, ordinal: int, role: Role, tree: bytes, seed: int, outcome: bytes | None
) -> PlannedRun:
    return PlannedRun(
        job_id=job_id,
        ordinal=ordinal,
        role=role,
        tree=tree,
        seed=seed,
        outcome=None if outcome is None else decode_outcome(outcome),
    )


def _items(data: bytes) -> list[Value]:
    value = body_value(data)
    return value if isinstance(value, list) else []
