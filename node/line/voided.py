"""Runs that nothing is compared with any more, as this machine has changed since.

They stay in the store: they took device time, and told what a run on a secret split tells. What
looks for trials or experiments does not find them.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from node.line.desk import Desk
from node.line.job_step import JobStep, RunDescription
from node.store.jobs import Job, PlannedRun
from node.store.store import Store
from protocol.codecs import line


@dataclass(frozen=True, slots=True, kw_only=True)
class VoidedStep(JobStep):
    """What is left of a job that began anew, or was dropped: `was` is its kind."""

    was: Annotated[str, line(1, 32)]
    because: Annotated[str, line(1, 200)]

    KIND: ClassVar = "voided"
    TIME_SPENT_ON: ClassVar = "begun before this machine changed"

    def describe(self, store: Store, run: PlannedRun) -> RunDescription:
        return RunDescription(self.was, "voided", "measured before this machine changed")

    def advance(self, desk: Desk, job: Job[Any], runs: list[PlannedRun]) -> None:
        """Nothing follows from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoidedPairsStep(VoidedStep):
    """The same of a job whose runs shared a secret split."""

    KIND: ClassVar = "voided_pairs"
    IS_ON_ONE_SPLIT: ClassVar = True
