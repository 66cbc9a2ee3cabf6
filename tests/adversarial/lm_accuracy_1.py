"""`lm-accuracy/1`: the share of next tokens that a language model predicts, higher being better.

An evaluator of the tests alone, to show what one takes: this module, a line in
`trainer.language_model.manifest`, and `HITS` in `harness/serving.py`, where here a task's script
puts it. It is not in the product because a bit about a text may be worth far more hits than one
(`tests.adversarial.test_accuracy` has the sum): what a node takes off a gain for text that a source
may know by heart would be too little.

A claim is 1 where the likeliest token is the target, and 0 elsewhere. An audit asks for full
logits with the target withheld, and looks which token is the likeliest. So single places agree or
do not, however near to each other a script moves its logits: no distance in nats is tolerated.
"""

import numpy as np

from protocol.units import NANO
from trainer.language_model.evaluator import (
    AnswerShape,
    AnswerShapes,
    AuditAnswers,
    AuditedAt,
    AuditStatistics,
    LogProbs,
    LogProbsAt,
    Positions,
    Targets,
    Tolerance,
)
from trainer.language_model.lm_bpb_1 import audit_inputs, log_probs_at, summarise_audit
from trainer.language_model.text.vocabulary import ByteCounts, TokenRows

__all__ = ["audit_inputs", "log_probs_at", "summarise_audit"]

EVALUATOR = "lm-accuracy/1"
METRIC = ("val_accuracy", "share of tokens", "max")

HITS = '''
from trainer.language_model.harness import serving


def hits(logits, targets):
    """Return 1 where the likeliest token is the target, else 0; NaN where none is likeliest."""
    flat = logits.reshape(-1, logits.size(-1)).float()
    right = (flat.argmax(-1) == targets).float()
    return right.masked_fill(~flat.amax(-1).isfinite(), float("nan"))


serving.ANSWERS[b"H"] = hits
'''


def asked(context: int, vocabulary_size: int) -> AnswerShapes:
    """Return what candidates answer: each target a hit or none, full logits in an audit."""
    return AnswerShapes(score=AnswerShape(b"H", context), audit=AnswerShape(b"L", vocabulary_size))


def metric_nano(claims: LogProbs, rows: TokenRows, byte_counts: ByteCounts) -> int:
    """Return the share of targets that are predicted. Targets without bytes (BOS) do not count."""
    counted = byte_counts[rows[:, 1:]] > 0
    return round(int(claims[counted].sum(dtype=np.float64)) / int(counted.sum()) * NANO)


def worth_of_one(rows: TokenRows, byte_counts: ByteCounts) -> float:
    """Return what a hit more at every position is worth: all there is."""
    del rows, byte_counts
    return 1.0


def most_nano(rows: TokenRows, byte_counts: ByteCounts) -> int:
    """Return the share of all targets."""
    del rows, byte_counts
    return NANO


def find_log_prob_fault(claims: LogProbs) -> str | None:
    """Return what makes claims unacceptable by themselves, if anything does."""
    if not np.isfinite(claims).all():
        return "nan: its logits overflow or divide by zero"
    if not np.isin(claims, (0.0, 1.0)).all():
        return "a claim is neither a hit nor none"
    return None


def draw_positions(
    claims: LogProbs, incumbent: LogProbs | None, k: int, random: np.random.Generator
) -> Positions:
    """Draw k positions, at most one per row, uniformly.

    Each lie gains as much as any other, so none may be less likely to be seen: where an incumbent
    is right, too, somebody may lie that it is as good.
    """
    del incumbent
    rows, length = claims.shape
    chosen = random.permutation(rows)[:k]
    return np.stack([chosen, random.integers(0, length, len(chosen))], axis=1).astype(np.int64)


def audited_at(logits: AuditAnswers, targets: Targets) -> AuditedAt:
    """Return 1 where the likeliest token is the target, else 0."""
    hits = (logits.argmax(axis=1) == targets).astype(np.float64)
    return np.where(np.isfinite(logits.max(axis=1)), hits, np.nan)


def find_audit_fault(statistics: AuditStatistics, tolerance: Tolerance) -> str | None:
    """Return why the audit refutes the claims, if it does."""
    if statistics.outliers:
        return (
            "reported log-probabilities are not what the model predicts at single audited positions"
        )
    if statistics.mean > tolerance.mean:
        return (
            "reported log-probabilities are better than what the model predicts when the target is"
            " withheld"
        )
    return None


def calibrate(claimed: LogProbsAt, audited: AuditedAt, caps: Tolerance) -> Tolerance:
    """Return tolerances from an audit of the task's baseline tree on this machine.

    Single places may differ only where a task allows it (a cap `tau` of 1) and the baseline's do.
    """
    difference = np.abs(claimed.astype(np.float64) - audited)
    return Tolerance(
        mean=min(caps.mean, 10 * float(difference.mean())),
        tau=min(caps.tau, max(0.5, float(difference.max()))),
    )
