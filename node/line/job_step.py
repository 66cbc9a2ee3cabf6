"""The interface of every kind of job.

A kind is one class. Its fields are the stored state of a job between its runs, so that a killed
node can resume. Its methods describe its runs, return whether they run a peer's code, and decide
the next step after them. `node.line.job_kinds` lists all kinds.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

from node.line.line_context import LineContext
from node.line.line_writer import LineWriter
from node.store.jobs import Job, PlannedRun
from node.store.store import Store
from protocol.fields import Mapped
from protocol.runs import Run


class RunDescription(NamedTuple):
    """The title and stage of a run; `stage` is for scripts, `text` for people."""

    title: str
    stage: str
    text: str


class JobStep(Mapped, ABC):
    """The purpose and state of a job. It is private to this node and never sent."""

    __slots__ = ()
    KIND: ClassVar[str]  # its name in the store
    # It decides only when all its runs have ended. No other job starts before that.
    IS_EXCLUSIVE: ClassVar[bool] = False
    # Own experiments may still start on other lanes: its decision holds whatever they find.
    LETS_EXPLORE: ClassVar[bool] = False
    # Its runs are compared with each other, on a secret split used by no other job.
    IS_ON_ONE_SPLIT: ClassVar[bool] = False
    # The name of its device time in reports; if empty, the time counts as that of its purpose.
    TIME_SPENT_ON: ClassVar[str] = ""

    @abstractmethod
    def advance(self, line_context: LineContext, job: Job[Any], runs: list[PlannedRun]) -> None:
        """Decide the job's next step from its runs, and store it."""

    @abstractmethod
    def describe(self, store: Store, run: PlannedRun) -> RunDescription:
        """Return the description of a run in progress."""

    def is_invalidated(self, runs: list[PlannedRun]) -> bool:
        """Return True if a change of the machine makes the job's runs worthless."""
        return any(run.outcome for run in runs)

    def open_again(self, line_writer: LineWriter) -> Job[Any] | None:
        """Open the job again without runs; None if it is dropped. Callers hold the transaction."""
        return None

    def is_of_peers(self, own: bytes) -> bool:
        """Return True if the job is about a peer's claim; its runs count as runs for peers.

        `own` is this node's author key.
        """
        return False

    def is_untrusted(self, run: PlannedRun, own: bytes) -> bool:
        """Return True if a run is of a peer's code, so that no record may contain its output."""
        return self.is_of_peers(own)

    def needs_audit(self, line_context: LineContext, run: PlannedRun, public_nano: int) -> bool:
        """Return True if a run is audited; the default is True.

        `public_nano` is its figure on the public split.
        """
        return True


def ended_runs(runs: list[PlannedRun]) -> list[Run]:
    """Return the runs that have ended, in the order they were planned."""
    return [run.run for run in runs if run.run]
