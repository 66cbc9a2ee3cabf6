"""The interface of every kind of job: what the agenda asks it, and what it does.

A kind is one class. Its fields are what a job remembers between its runs, so that a killed node
goes on where it was. Its methods describe its runs, say whose code they run, and decide what
follows from them. `node.line.job_kinds` lists all kinds.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

from node.line.desk import Desk
from node.line.ledger import Ledger
from node.store.jobs import Job, PlannedRun
from node.store.store import Store
from protocol.fields import Mapped
from protocol.runs import Run


class RunDescription(NamedTuple):
    """What a run is about, and which stage it is: for scripts, and in words that need no manual."""

    title: str
    stage: str
    plainly: str


class JobStep(Mapped, ABC):
    """What a job is for and how far it has come. Bodies are this node's own, never sent."""

    __slots__ = ()
    KIND: ClassVar[str]  # its word in the store
    # It decides only when all its runs have ended; meanwhile nothing else begins.
    IS_EXCLUSIVE: ClassVar[bool] = False
    # Yet own experiments do, on other lanes: what it decides holds wherever these have led.
    LETS_EXPLORE: ClassVar[bool] = False
    # Its runs are compared with each other on one secret split, which it has alone.
    IS_ON_ONE_SPLIT: ClassVar[bool] = False
    # What a report calls the device time of its runs; "": it is told with what they were for.
    TIME_SPENT_ON: ClassVar[str] = ""

    @abstractmethod
    def advance(self, desk: Desk, job: Job[Any], runs: list[PlannedRun]) -> None:
        """Decide what the job does next, given its runs, and write it down."""

    @abstractmethod
    def describe(self, store: Store, run: PlannedRun) -> RunDescription:
        """Return what is told of a run while it is at work."""

    def is_void(self, runs: list[PlannedRun]) -> bool:
        """Whether what the job has is worth nothing on a machine that has changed."""
        return any(run.outcome for run in runs)

    def open_again(self, ledger: Ledger) -> Job[Any] | None:
        """Open it with nothing measured; None: it is dropped. Callers hold the transaction."""
        return None

    def is_of_peers(self, own: bytes) -> bool:
        """Whether the job is about a peer's claim, so that its runs are of the peers' share.

        `own` is this node's author.
        """
        return False

    def is_foreign(self, run: PlannedRun, own: bytes) -> bool:
        """Whether a run is of a peer's code, whose output goes into no record of ours."""
        return self.is_of_peers(own)

    def needs_audit(self, desk: Desk, run: PlannedRun, public_nano: int) -> bool:
        """Whether a run is audited, given its claim on the public split; one that counts is."""
        return True


def ended_runs(runs: list[PlannedRun]) -> list[Run]:
    """Return the runs that have ended, in the order they were planned."""
    return [run.run for run in runs if run.run]
