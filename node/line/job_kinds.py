"""All kinds of job. A new kind needs its own module and an entry at the end of this one.

The two kinds defined here replace jobs that a change of this machine made invalid. Runs of these
jobs are never compared. The runs still count as device time, and as runs that may have leaked facts
about a secret split. Code that looks for trials or experiments does not find these jobs.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final

from node.line.baseline import BaselineStep
from node.line.branch import BranchStep
from node.line.catch_up import CatchUpStep
from node.line.experiment import ExperimentStep
from node.line.head_recheck import HeadRecheckStep
from node.line.job_step import JobStep, RunDescription
from node.line.line_context import LineContext
from node.line.pair_trial import HeadTrial
from node.line.promotion_trial import PromotionTrial
from node.line.reference_runs import ReferenceRunStep
from node.line.rerun import RerunStep
from node.store.jobs import Job, PlannedRun
from node.store.store import Store
from protocol.codecs import single_line


@dataclass(frozen=True, slots=True, kw_only=True)
class InvalidatedStep(JobStep):
    """A job that was restarted or dropped. `was` is its former kind, `because` the reason."""

    was: Annotated[str, single_line(1, 32)]
    because: Annotated[str, single_line(1, 200)]

    KIND: ClassVar = "invalidated"
    TIME_SPENT_ON: ClassVar = "begun before this machine changed"

    def describe(self, store: Store, run: PlannedRun) -> RunDescription:
        return RunDescription(self.was, "invalidated", "measured before this machine changed")

    def advance(self, line_context: LineContext, job: Job[Any], runs: list[PlannedRun]) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InvalidatedPairsStep(InvalidatedStep):
    """An invalidated job whose runs shared a secret split."""

    KIND: ClassVar = "invalidated_pairs"
    IS_ON_ONE_SPLIT: ClassVar = True


# In the order in which their runs take precedence.
KINDS: Final[tuple[type[JobStep], ...]] = (
    BaselineStep,
    HeadRecheckStep,
    PromotionTrial,
    CatchUpStep,
    RerunStep,
    BranchStep,
    ReferenceRunStep,
    ExperimentStep,
    InvalidatedStep,
    InvalidatedPairsStep,
)
# These try a tree against the verified head in fresh pairs.
HEAD_TRIALS: Final = tuple(kind for kind in KINDS if issubclass(kind, HeadTrial))
# The runs of such a job are compared with each other, on a secret split used by no other job.
ON_ONE_SPLIT: Final = tuple(kind for kind in KINDS if kind.IS_ON_ONE_SPLIT)
