"""What a language model is scored by: a frozen module, which a manifest's `evaluator` names.

It says what a candidate answers for each row of text, and what is made of the answers; nothing
else knows what they are. `trainer.language_model.lm_bpb_1` is the first, the table in
`trainer.language_model.manifest` lists all.

A metric is taken from claims, answers of a process that has seen every target. An audit bounds
what they can lie: a fresh process, from which the target is withheld, answers for k positions that
are drawn when the first is dead. The arrays of both are named here, each with its shape.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trainer.language_model.text.vocabulary import ByteCounts, Inputs, TokenRows

Claims: TypeAlias = NDArray[np.float32]  # [rows, width of the claim]
AuditAnswers: TypeAlias = NDArray[np.float32]  # [k, width of the audit]
Positions: TypeAlias = NDArray[np.int64]  # [k, 2]: row and time
Targets: TypeAlias = NDArray[np.uint16]  # [k]: the token at each position
ClaimedAt: TypeAlias = NDArray[np.float32]  # [k]: what was claimed of each position
AuditedAt: TypeAlias = NDArray[np.float64]  # [k]: what an audit's answers say of each position


class AnswerShape(NamedTuple):
    """What a candidate answers for each row of tokens: `width` numbers, float32.

    `tag` is a key of `ANSWERS` in `harness/serving.py`, which makes them of a model's logits. With
    a claim's rows go the targets, with an audit's the time of each row's position.
    """

    tag: bytes
    width: int


class AnswerShapes(NamedTuple):
    """What is asked of a candidate about the rows that are scored, and about audited positions."""

    claim: AnswerShape
    audit: AnswerShape


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a claim may lie above its audit: in the mean, and at one position.

    In the unit of the claims, as all of an audit's figures.
    """

    mean: float
    tau: float


@dataclass(frozen=True, slots=True)
class AuditStatistics:
    """`claim − audit` over k positions: mean, standard error and largest."""

    k: int
    mean: float
    standard_error: float
    largest: float
    outliers: int


class Evaluator(Protocol):
    """A module's functions. Whoever changes a number that comes out raises `EVALUATOR`.

    What a node takes off a gain for text that a source may know by heart (`protocol.hygiene`) is in
    bits per byte: n bits about a text are worth n bits, and no more. An evaluator of which that is
    not true must not be listed.
    """

    EVALUATOR: str
    METRIC: tuple[str, str, str]  # name, unit, which way is better

    def asked(self, context: int, vocabulary_size: int) -> AnswerShapes:
        """Return what candidates answer for rows of `context` tokens."""

    def metric_nano(self, claims: Claims, rows: TokenRows, byte_counts: ByteCounts) -> int:
        """Return the metric in 1e-9 units."""

    def worth_of_one(self, rows: TokenRows, byte_counts: ByteCounts) -> float:
        """Return what one more at every position of these rows is worth, in the metric's unit."""

    def most_nano(self, rows: TokenRows, byte_counts: ByteCounts) -> int:
        """Return what a metric on rows like these is cut to, in 1e-9 units.

        A claim may be any number where nobody audits it.
        """

    def find_claim_fault(self, claims: Claims) -> str | None:
        """Return what makes claims unacceptable by themselves, if anything does."""

    def draw_positions(
        self, claims: Claims, incumbent: Claims | None, k: int, random: np.random.Generator
    ) -> Positions:
        """Draw k positions to audit, at most one per row."""

    def claimed_at(self, claims: Claims, positions: Positions) -> ClaimedAt:
        """Return what was claimed of each position."""

    def audit_inputs(
        self, rows: TokenRows, positions: Positions, random: np.random.Generator
    ) -> Inputs:
        """Return k inputs, of which nothing after its position is true."""

    def audited_at(self, answers: AuditAnswers, targets: Targets) -> AuditedAt:
        """Return what an audit's answers say of the targets; not finite where they are none."""

    def summarise_audit(
        self, claimed: ClaimedAt, audited: AuditedAt, tolerance: Tolerance
    ) -> AuditStatistics:
        """Compare k claims with their audits."""

    def find_audit_fault(self, statistics: AuditStatistics, tolerance: Tolerance) -> str | None:
        """Return why the audit refutes the claims, if it does."""

    def calibrate(self, claimed: ClaimedAt, audited: AuditedAt, caps: Tolerance) -> Tolerance:
        """Return tolerances from an audit of the task's baseline tree on this machine."""
