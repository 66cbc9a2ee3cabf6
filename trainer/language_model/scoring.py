"""Requests to a served model: log-probabilities for all rows, then an audit of some positions.

The evaluator defines the requests and computes all figures.

The process that scores the rows sees every target, since scoring would be too slow otherwise. The
audit uses a fresh process that shares nothing writable with the first one. The evaluator draws the
audited positions after the first process has ended.
"""

import hmac
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.language_model.evaluator import AnswerShape, AuditedAt, Evaluator, LogProbs, Positions
from trainer.language_model.text.vocabulary import RowNumbers, TokenRows
from trainer.sandbox.inside.channel import ANSWER
from trainer.sandbox.sandbox import Sandbox

_BATCH_ROWS = 32
_BATCH_TOKENS = 16_384  # their logits fit on a small card
_ORDER = b"arnode/scoring-order/1"
_SHAPE = struct.Struct(">II")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoredRows:
    """The rows of both splits in scoring order, with the row numbers of each split.

    `key` is the secret key that the secret rows and the order were drawn with.
    """

    key: bytes
    rows: TokenRows
    public: RowNumbers
    secret: RowNumbers

    @classmethod
    def mixed(cls, public_rows: TokenRows, secret_rows: TokenRows, *, key: bytes) -> "ScoredRows":
        """Mix both splits into one stream, in an order that only the holder of the key can know.

        All runs on a split use the same order, so a metric has the same bits each time. Mixing
        keeps a script from recognising the secret rows by their position.
        """
        seed = np.frombuffer(hmac.digest(key, _ORDER, "sha256"), dtype="<u4")
        order = np.random.default_rng(seed).permutation(len(public_rows) + len(secret_rows))
        place = np.argsort(order)
        return cls(
            key=key,
            rows=np.concatenate([public_rows, secret_rows])[order],
            public=place[: len(public_rows)],
            secret=place[len(public_rows) :],
        )


def batch_rows(context: int) -> int:
    """Return the number of rows of `context` tokens that are scored at once."""
    return max(1, min(_BATCH_ROWS, _BATCH_TOKENS // context))


async def ask_log_probs(
    sandbox: Sandbox, question: AnswerShape, rows: TokenRows, *, on_first: Callable[[], None]
) -> LogProbs:
    """Return the served model's answers for the rows.

    `on_first` is called once the first batch is answered, before the second is sent.
    """
    inputs, targets = rows[:, :-1], rows[:, 1:]
    answers = _answers(sandbox, question, inputs, targets, on_first)
    return np.concatenate([log_probs async for log_probs in answers])


def audit_random(key: bytes, tree: bytes, seed: int) -> np.random.Generator:
    """Return the random generator of a run's audit: the same each time, and secret from scripts.

    A repeated audit therefore checks the same positions of the same log-probabilities.
    """
    digest = hmac.digest(key, b"arnode/audit/1\0" + tree + seed.to_bytes(8), "sha256")
    return np.random.default_rng(int.from_bytes(digest))


async def ask_audit(
    sandbox: Sandbox,
    evaluator: Evaluator,
    question: AnswerShape,
    scored: ScoredRows,
    positions: Positions,
    random: np.random.Generator,
    *,
    on_first: Callable[[], None],
) -> AuditedAt:
    """Return the served model's value for the withheld target at each position.

    `on_first` is called once the first batch is answered, before the second is sent.
    """
    inputs = evaluator.audit_inputs(scored.rows, positions, random)
    targets = scored.rows[positions[:, 0], positions[:, 1] + 1]
    order = random.permutation(len(positions))
    audited = np.empty(len(positions), dtype=np.float64)
    answered = 0
    async for answers in _answers(sandbox, question, inputs[order], positions[order, 1], on_first):
        batch = order[answered : answered + len(answers)]
        audited[batch] = evaluator.audited_at(answers, targets[batch])
        answered += len(answers)
    return audited


async def _answers(
    sandbox: Sandbox,
    question: AnswerShape,
    tokens: NDArray[np.uint16],
    extra: NDArray[np.generic],
    on_first: Callable[[], None],
) -> AsyncIterator[NDArray[np.float32]]:
    """Yield the answers [rows, width] to `tokens` [rows, context], one batch of rows at a time.

    `extra` is sent with the rows: the targets [rows, context], or a position for each row [rows].
    """
    at_once = batch_rows(tokens.shape[1])
    for start in range(0, len(tokens), at_once):
        rows, asked = tokens[start : start + at_once], extra[start : start + at_once]
        request = _SHAPE.pack(*rows.shape) + rows.astype(">u2").tobytes()
        await sandbox.send(question.tag, request + asked.astype(">u2").tobytes())
        answer = await sandbox.receive(ANSWER, len(rows) * question.width * 4)
        yield np.frombuffer(answer, dtype="<f4").reshape(len(rows), question.width)
        if start == 0:
            on_first()
