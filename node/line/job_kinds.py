"""All kinds of job. A new kind is a file of its own and a line at the end of this one.

Also what is left of jobs whose runs nothing is compared with any more, as this machine has changed
since: they took device time, and told what a run on a secret split tells. What looks for trials or
experiments does not find them.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final

from node.line.attestation import AttestationStep
from node.line.bank import BankStep
from node.line.baseline import BaselineStep
from node.line.branch import BranchStep
from node.line.catch_up import CatchUpStep
from node.line.checkpoint import CheckpointStep
from node.line.desk import Desk
from node.line.experiment import ExperimentStep
from node.line.job_step import JobStep, RunDescription
from node.line.pair_trial import HeadTrial
from node.line.remeasure import RemeasureStep
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


# Those whose runs go first come first.
KINDS: Final[tuple[type[JobStep], ...]] = (
    BaselineStep,
    RemeasureStep,
    CheckpointStep,
    CatchUpStep,
    AttestationStep,
    BranchStep,
    BankStep,
    ExperimentStep,
    VoidedStep,
    VoidedPairsStep,
)
# In these a tree meets the verified head in fresh pairs.
HEAD_TRIALS: Final = tuple(kind for kind in KINDS if issubclass(kind, HeadTrial))
# The runs of one of these are compared with each other on one secret split, which it has alone.
ON_ONE_SPLIT: Final = tuple(kind for kind in KINDS if kind.IS_ON_ONE_SPLIT)
