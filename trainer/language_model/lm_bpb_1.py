"""`lm-bpb/1`: bits per byte of a language model, from log-probabilities that may be lies.

The candidate reports a log-probability for every token. An audit then draws positions, asks a fresh
process for the full logits there with the target withheld, and compares. The module is frozen: a
change of any result needs a new string in `EVALUATOR`. Numpy only.
"""

import math

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
from trainer.language_model.text.vocabulary import ByteCounts, Inputs, TokenRows

EVALUATOR = "lm-bpb/1"
METRIC = ("val_bpb", "bits per byte", "min")  # name, unit, which way is better


def asked(context: int, vocabulary_size: int) -> AnswerShapes:
    """Return the answers' form: each target's log-probability, and full logits in an audit."""
    return AnswerShapes(score=AnswerShape(b"C", context), audit=AnswerShape(b"L", vocabulary_size))


def metric_nano(log_probs: LogProbs, rows: TokenRows, byte_counts: ByteCounts) -> int:
    """Return the metric in 1e-9 bits per byte. Targets without bytes (BOS) do not count."""
    targets = rows[:, 1:]
    target_bytes = byte_counts[targets]
    nats = -np.where(target_bytes > 0, log_probs.astype(np.float64), 0.0)
    # fsum is exact, so the figure does not depend on how numpy splits the sum on this machine.
    total = math.fsum(nats.ravel().tolist())
    return round(total / math.log(2) / int(target_bytes.sum()) * NANO)


def worth_of_one(rows: TokenRows, byte_counts: ByteCounts) -> float:
    """Return how much the metric, in bits per byte, changes for one nat on every target."""
    target_bytes = byte_counts[rows[:, 1:]]
    return float((target_bytes > 0).sum() / math.log(2) / target_bytes.sum())


def most_nano(rows: TokenRows, byte_counts: ByteCounts) -> int:
    """Return twice the metric of a model that predicts all tokens with the same probability."""
    worst = 2 * worth_of_one(rows, byte_counts) * math.log(len(byte_counts))
    return round(worst * NANO)


def find_log_prob_fault(log_probs: LogProbs) -> str | None:
    """Return the reason log-probabilities are invalid even without an audit, or None."""
    if not np.isfinite(log_probs).all():
        return "nan: its log-probabilities are not finite: its logits overflow or divide by zero"
    if (log_probs > 0).any():
        return "a reported log-probability is positive"
    return None


def draw_positions(
    log_probs: LogProbs, incumbent: LogProbs | None, k: int, random: np.random.Generator
) -> Positions:
    """Draw k positions, at most one per row.

    Half are drawn uniformly, half in proportion to |log-probability − incumbent's|. The second half
    finds rare but large lies that a uniform draw would miss.
    """
    rows, length = log_probs.shape
    k = min(k, rows)
    order = random.permutation(rows)
    uniform_rows, rest = order[: k - k // 2], order[k - k // 2 :]
    uniform = np.stack([uniform_rows, random.integers(0, length, len(uniform_rows))], axis=1)
    reference = incumbent if incumbent is not None else log_probs.mean()
    weight = np.abs(log_probs.astype(np.float64) - reference)[rest] + 1e-12
    row_weight = weight.sum(axis=1)
    # Draw rows without replacement in proportion to their weight: Efraimidis & Spirakis' keys.
    keys = np.log(random.random(len(rest))) / row_weight
    chosen = np.argsort(-keys)[: k // 2]
    cumulative = np.cumsum(weight[chosen], axis=1)
    draw = random.random(len(chosen)) * cumulative[:, -1]
    times = (cumulative < draw[:, None]).sum(axis=1)
    weighted = np.stack([rest[chosen], np.minimum(times, length - 1)], axis=1)
    return np.concatenate([uniform, weighted]).astype(np.int64)


def log_probs_at(log_probs: LogProbs, positions: Positions) -> LogProbsAt:
    """Return the reported log-probability of the target at each position."""
    return log_probs[positions[:, 0], positions[:, 1]]


def audit_inputs(rows: TokenRows, positions: Positions, random: np.random.Generator) -> Inputs:
    """Return k inputs: the true prefix up to each position, then another row's text as filler.

    With real text as filler, an audit differs from scoring only in the missing target.
    """
    inputs = rows[positions[:, 0], :-1].copy()
    fillers = rows[random.integers(0, len(rows), len(positions)), :-1]
    after = np.arange(inputs.shape[1])[None, :] > positions[:, 1][:, None]
    inputs[after] = fillers[after]
    return inputs


def audited_at(logits: AuditAnswers, targets: Targets) -> AuditedAt:
    """Return the log-softmax of full logits at the targets, in float64."""
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    picked = wide[np.arange(len(wide)), targets]
    return np.asarray(picked - np.log(np.exp(wide).sum(axis=1)), dtype=np.float64)


def summarise_audit(
    claimed: LogProbsAt, audited: AuditedAt, tolerance: Tolerance
) -> AuditStatistics:
    """Compare k reported log-probabilities with the audited ones."""
    difference = claimed.astype(np.float64) - audited
    k = len(difference)
    return AuditStatistics(
        k=k,
        mean=float(difference.mean()),
        standard_error=float(difference.std(ddof=1) / math.sqrt(k)),
        largest=float(np.abs(difference).max()),
        outliers=int((np.abs(difference) > tolerance.tau).sum()),
    )


def find_audit_fault(statistics: AuditStatistics, tolerance: Tolerance) -> str | None:
    """Return the reason the audit rejects the reported log-probabilities, or None."""
    # The message gives no numbers: a script could choose them to leak something of secret rows.
    if statistics.outliers:  # tau is ten times the spread of honest arithmetic on this machine
        return (
            "reported log-probabilities are not what the model predicts at single audited positions"
        )
    if statistics.mean > tolerance.mean + 3 * statistics.standard_error:
        return (
            "reported log-probabilities are better than what the model predicts when the target is"
            " withheld"
        )
    return None


def calibrate(claimed: LogProbsAt, audited: AuditedAt, caps: Tolerance) -> Tolerance:
    """Return tolerances from an audit of the task's baseline tree on this machine.

    They are ten times the spread of the baseline's arithmetic here, and at most the manifest's
    caps.
    """
    difference = np.abs(claimed.astype(np.float64) - audited)
    return Tolerance(
        mean=min(caps.mean, max(1e-6, 10 * float(difference.mean()))),
        tau=min(caps.tau, max(1e-4, 10 * float(difference.max()))),
    )
