"""All kinds of job. A new kind is a file of its own and a line here."""

from typing import Final

from node.line.attestation import AttestationStep
from node.line.bank import BankStep
from node.line.baseline import BaselineStep
from node.line.branch import BranchStep
from node.line.catch_up import CatchUpStep
from node.line.checkpoint import CheckpointStep
from node.line.experiment import ExperimentStep
from node.line.job_step import JobStep
from node.line.pair_trial import HeadTrial
from node.line.remeasure import RemeasureStep
from node.line.voided import VoidedPairsStep, VoidedStep

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
