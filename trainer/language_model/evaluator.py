"""What a language model is scored by: a frozen module, which a manifest's `evaluator` names.

`trainer.language_model.lm_bpb_1` is the first, `trainer.language_model.evaluators` lists all.
Arrays are as `trainer.language_model.text.arrays` says.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from trainer.language_model.text.arrays import (
    AuditedAt,
    ByteCounts,
    ClaimedAt,
    Inputs,
    Logits,
    LogProbs,
    Positions,
    Targets,
    TokenRows,
)


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a claim may lie above its audit: in the mean, and at one position (nats)."""

    mean: float
    tau: float


@dataclass(frozen=True, slots=True)
class AuditStatistics:
    """`claim − audit` over k positions, in nats: mean, standard error and largest."""

    k: int
    mean: float
    standard_error: float
    largest: float
    outliers: int


class Evaluator(Protocol):
    """A module's functions. Whoever changes a number that comes out raises `EVALUATOR`."""

    EVALUATOR: str
    METRIC: tuple[str, str, str]  # name, unit, which way is better

    def metric_nano(
        self, log_probabilities: LogProbs, rows: TokenRows, byte_counts: ByteCounts
    ) -> int:
        """Return the metric in 1e-9 units."""

    def worth_of_a_nat(self, rows: TokenRows, byte_counts: ByteCounts) -> float:
        """Return what one nat on every target of these rows changes the metric by, in its unit."""

    def find_claim_fault(self, log_probabilities: LogProbs) -> str | None:
        """Return what makes claims unacceptable by themselves, if anything does."""

    def draw_positions(
        self, claims: LogProbs, incumbent: LogProbs | None, k: int, random: np.random.Generator
    ) -> Positions:
        """Draw k positions to audit, at most one per row."""

    def audit_inputs(
        self, rows: TokenRows, positions: Positions, random: np.random.Generator
    ) -> Inputs:
        """Return k inputs, of which nothing after its position is true."""

    def audited_log_probabilities(self, logits: Logits, targets: Targets) -> AuditedAt:
        """Return what full logits say of the targets, in nats."""

    def summarise_audit(
        self, claimed: ClaimedAt, audited: AuditedAt, tolerance: Tolerance
    ) -> AuditStatistics:
        """Compare k claims with their audits."""

    def find_audit_fault(self, statistics: AuditStatistics, tolerance: Tolerance) -> str | None:
        """Return why the audit refutes the claims, if it does."""

    def calibrate(self, claimed: ClaimedAt, audited: AuditedAt, caps: Tolerance) -> Tolerance:
        """Return tolerances from an audit of the task's baseline tree on this machine."""
