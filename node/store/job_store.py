"""What the research loop must still know after a kill: lines, jobs, planned runs, what was tried.

`Store` adds the records; a decision and its record are one transaction.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from node.store import jobs
from node.store.closed_jobs import ClosedJobs
from node.store.database import Database
from node.store.jobs import Job, Line, LineKey, PlannedRun, S, Step, StoredOutcome
from node.store.model_calls import Spending, spending_in, spending_on
from protocol.kinds import Role, Run


class JobStore:
    """The part of an open store that jobs are kept in."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._closed = ClosedJobs(database) if database.is_writer else None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that the body writes happens, and is on the disk, or none of it."""
        with self._database.transaction(rolled_back=self._forget_closed):
            yield

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Join the transaction that is open, else be one."""
        if self._database.is_writing:
            yield
        else:
            with self.transaction():
                yield

    def _forget_closed(self) -> None:
        if self._closed:
            self._closed.forget()

    def load_line(self, key: LineKey) -> Line | None:
        """Return where this line stands, or None before its first baseline."""
        return jobs.load_line(self._database, key)

    def lines(self) -> list[Line]:
        """Return every line of this node."""
        return jobs.lines(self._database)

    def save_line(self, line: Line) -> None:
        """Remember where this line stands."""
        with self._writing():
            jobs.save_line(self._database, line)

    def open_job(
        self, line: LineKey, step: S, *, created_ms: int, split: bytes | None = None
    ) -> Job[S]:
        """Put a job into the queue; `split` names the secret split that its runs share."""
        with self._writing():
            return jobs.open_job(self._database, line, step, created_ms, split)

    def update_step(self, job: Job[Step], step: S) -> Job[S]:
        """Remember how far a job has come; return it as it is now."""
        with self._writing():
            if job.state == "done":
                self._forget_closed()
            return jobs.update_step(self._database, job, step)

    def close_job(self, job_id: int) -> None:
        """Take a job out of the queue; its runs stay."""
        with self._writing():
            jobs.close_job(self._database, job_id)
            if self._closed:
                self._closed.note_closed(job_id)

    def open_jobs(self, line: LineKey, *kinds: type[S]) -> list[Job[S]]:
        """Return the jobs of these kinds in the queue of this line, oldest first."""
        return jobs.open_jobs(self._database, line, kinds)

    def open_ids(self, line: LineKey) -> set[int]:
        """Return the numbers of the jobs in the queue of this line, of whatever kind."""
        return jobs.open_ids(self._database, line)

    def closed_jobs(self, line: LineKey, *kinds: type[S], after: int = 0) -> list[Job[S]]:
        """Return the finished jobs of these kinds after number `after`, oldest first."""
        if self._closed:
            return self._closed.of(line, kinds, after=after)
        return jobs.closed_jobs(self._database, line, kinds, after=after)

    def job(self, job_id: int, *kinds: type[S]) -> Job[S] | None:
        """Return the job with this number, if it is of one of these kinds."""
        return jobs.get_job(self._database, job_id, kinds)

    def last_job(self) -> int:
        """Return the number of the latest job of any line, 0 before the first."""
        return int(self._database.rows("SELECT coalesce(max(id), 0) FROM job")[0][0])

    def plan_run(self, job_id: int, *, role: Role, tree: bytes, seed: int) -> PlannedRun:
        """Commit to a run before it starts; its ordinal is the next one of the job."""
        with self._writing():
            return jobs.plan_run(self._database, job_id, role, tree, seed)

    def finish_run(self, run: PlannedRun, outcome: StoredOutcome) -> PlannedRun:
        """Keep how a planned run ended."""
        with self._writing():
            return jobs.finish_run(self._database, run, outcome)

    def runs_of(self, job_id: int) -> list[PlannedRun]:
        """Return a job's runs in the order they were planned."""
        return jobs.runs_of(self._database, job_id)

    def count_runs(self, task: bytes, *kinds: type[Step], before_job: int | None = None) -> int:
        """Return how many runs of a task's jobs of these kinds ended, all or before a job."""
        return jobs.count_runs(self._database, task, kinds, before_job=before_job)

    def outcomes_of(self, runs: Sequence[Run]) -> list[StoredOutcome]:
        """Return what is kept of these runs of own records, of each that is, in their order."""
        ended = jobs.ended_runs(self._database, [run.seed for run in runs])
        kept = [one.outcome for one in ended if one.outcome is not None]
        return [one for run in runs for one in kept if one.run == run]

    def tried(self, task: bytes, fingerprint: bytes) -> bool:
        """Say whether a source with this canonical AST was ever run."""
        statement = "SELECT 1 FROM tried WHERE task = ? AND fingerprint = ?"
        return bool(self._database.rows(statement, (task, fingerprint)))

    def result_of(self, task: bytes, fingerprint: bytes) -> bytes | None:
        """Return the latest result of a source with this canonical AST, if one is recorded."""
        statement = "SELECT record FROM tried WHERE task = ? AND fingerprint = ?"
        rows = self._database.rows(statement, (task, fingerprint))
        return rows[0][0] if rows else None

    def model_spending(self, day: str) -> Spending:
        """Return what asking models took on a day (UTC, 2026-01-31)."""
        return spending_on(self._database, day)

    def model_spending_in(self, since_ms: int, until_ms: int) -> Spending:
        """Return what asking models took in a span (milliseconds since 1970, both included)."""
        return spending_in(self._database, since_ms, until_ms)

    def fingerprints(self, task: bytes) -> set[bytes]:
        """Return every canonical AST of a task that was ever run."""
        statement = "SELECT fingerprint FROM tried WHERE task = ?"
        return {row[0] for row in self._database.rows(statement, (task,))}

    def mark_tried(self, task: bytes, fingerprint: bytes, record: bytes | None = None) -> None:
        """Remember that a source with this canonical AST was run, and the record that says so."""
        with self._writing():
            self._database.rows(
                "INSERT INTO tried (task, fingerprint, record) VALUES (?,?,?)"
                " ON CONFLICT DO UPDATE SET record = coalesce(excluded.record, record)",
                (task, fingerprint, record),
            )

    def meta(self, key: str) -> bytes | None:
        """Return a small value that was kept under this key."""
        rows = self._database.rows("SELECT value FROM meta WHERE key = ?", (key,))
        return rows[0][0] if rows else None

    def forget_meta(self, key: str) -> None:
        """Let go of what was kept under this key."""
        with self._writing():
            self._database.rows("DELETE FROM meta WHERE key = ?", (key,))

    def set_meta(self, key: str, value: bytes) -> None:
        """Keep a small value under this key."""
        with self._writing():
            self._database.rows("INSERT OR REPLACE INTO meta VALUES (?,?)", (key, value))
