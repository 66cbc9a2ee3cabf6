"""The interface of an evaluator: a frozen module, named by a manifest, that scores a model.

An evaluator defines what a candidate answers for each row of text, and computes figures from the
answers. No other module depends on the meaning of the answers. The first evaluator is
`trainer.language_model.lm_bpb_1`; `trainer.language_model.manifest` lists all.

A metric is computed from the log-probabilities that a process reports. This process has seen every
target, so it may lie. An audit limits the lies. After the first process has ended, k positions are
drawn. A fresh process answers for them without seeing their targets, and both answers are compared.

The array types of reported and audited log-probabilities are defined here.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trainer.language_model.text.vocabulary import ByteCounts, Inputs, TokenRows

LogProbs: TypeAlias = NDArray[np.float32]  # [rows, width of the scoring answer]
AuditAnswers: TypeAlias = NDArray[np.float32]  # [k, width of the audit's answer]
Positions: TypeAlias = NDArray[np.int64]  # [k, 2]: row and time
Targets: TypeAlias = NDArray[np.uint16]  # [k]: the token at each position
LogProbsAt: TypeAlias = NDArray[np.float32]  # [k]: the reported value at each position
AuditedAt: TypeAlias = NDArray[np.float64]  # [k]: the audit's value at each position


class AnswerShape(NamedTuple):
    """The form of a candidate's answer for each row of tokens: `width` numbers, float32.

    `tag` is a key of `ANSWERS` in `harness/serving.py`, which computes the answer from a model's
    logits. Rows to score are sent with their targets. Rows to audit are sent without targets, each
    with its position.
    """

    tag: bytes
    width: int


class AnswerShapes(NamedTuple):
    """The forms of answers: `score` for each scored row, `audit` for each audited position."""

    score: AnswerShape
    audit: AnswerShape


@dataclass(frozen=True, slots=True)
class Tolerance:
    """The limits for the difference reported − audited log-probability.

    `mean` limits its mean over all positions, `tau` the difference at each position. Like all
    figures of an audit, both limits are in the unit of log-probabilities.
    """

    mean: float
    tau: float


@dataclass(frozen=True, slots=True)
class AuditStatistics:
    """Statistics of the difference reported − audited over k positions."""

    k: int
    mean: float
    standard_error: float
    largest: float
    outliers: int


class Evaluator(Protocol):
    """The functions of an evaluator module. A change of any result needs a new `EVALUATOR` string.

    A node subtracts from a gain the most that a source may have gained by memorising text
    (`protocol.hygiene`). This assumes that n bits of memorised text gain at most n bits. An
    evaluator for which this assumption is false must not be listed.
    """

    EVALUATOR: str
    METRIC: tuple[str, str, str]  # name, unit, which way is better

    def asked(self, context: int, vocabulary_size: int) -> AnswerShapes:
        """Return the forms of candidates' answers for rows of `context` tokens."""

    def metric_nano(self, log_probs: LogProbs, rows: TokenRows, byte_counts: ByteCounts) -> int:
        """Return the metric in 1e-9 units."""

    def worth_of_one(self, rows: TokenRows, byte_counts: ByteCounts) -> float:
        """Return the change of the metric if the log-probability at every position changes by 1."""

    def most_nano(self, rows: TokenRows, byte_counts: ByteCounts) -> int:
        """Return the largest metric that is accepted for these rows, in 1e-9 units.

        The limit is needed because reported log-probabilities may be any numbers before an audit.
        """

    def find_log_prob_fault(self, log_probs: LogProbs) -> str | None:
        """Return the reason log-probabilities are invalid even without an audit, or None."""

    def draw_positions(
        self, log_probs: LogProbs, incumbent: LogProbs | None, k: int, random: np.random.Generator
    ) -> Positions:
        """Draw k positions to audit, at most one per row."""

    def log_probs_at(self, log_probs: LogProbs, positions: Positions) -> LogProbsAt:
        """Return the reported log-probability at each position."""

    def audit_inputs(
        self, rows: TokenRows, positions: Positions, random: np.random.Generator
    ) -> Inputs:
        """Return k rows of input, each with filler text after its audited position."""

    def audited_at(self, answers: AuditAnswers, targets: Targets) -> AuditedAt:
        """Return the audited log-probability of each target; not finite if an answer is invalid."""

    def summarise_audit(
        self, claimed: LogProbsAt, audited: AuditedAt, tolerance: Tolerance
    ) -> AuditStatistics:
        """Compare k reported log-probabilities with the audited ones."""

    def find_audit_fault(self, statistics: AuditStatistics, tolerance: Tolerance) -> str | None:
        """Return the reason the audit rejects the reported log-probabilities, or None."""

    def calibrate(self, claimed: LogProbsAt, audited: AuditedAt, caps: Tolerance) -> Tolerance:
        """Return tolerances from an audit of the task's baseline tree on this machine."""
