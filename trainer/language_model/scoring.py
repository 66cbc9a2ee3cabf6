"""Asks a served model for claims and audits over a task's rows.

What it is asked, and all arithmetic, is the evaluator's.

The claim stage sees every target (a model cannot be scored otherwise fast enough); the audit runs
in a fresh process that shares nothing writable with it, at positions that the evaluator draws after
it is dead.
"""

import hmac
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.language_model.evaluator import AnswerShape, AuditedAt, Claims, Evaluator, Positions
from trainer.language_model.text.vocabulary import RowNumbers, TokenRows
from trainer.sandbox.inside.channel import ANSWER
from trainer.sandbox.sandbox import Sandbox

_BATCH_ROWS = 32
_BATCH_TOKENS = 16_384  # of whose logits a small card has room
_ORDER = b"arnode/scoring-order/1"
_SHAPE = struct.Struct(">II")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoredRows:
    """The rows of both splits in the order in which they are scored, and how to take them apart.

    `key` is what the secret rows and the order were drawn with.
    """

    key: bytes
    rows: TokenRows
    public: RowNumbers
    secret: RowNumbers

    @classmethod
    def mixed(cls, public_rows: TokenRows, secret_rows: TokenRows, *, key: bytes) -> "ScoredRows":
        """Mix both splits in one stream, in an order that only the holder of the key can know.

        One order for all runs on a split keeps a metric the same bits each time; the mixture keeps
        a script from telling the secret split by its place.
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
    """Return how many rows of so many tokens are scored at once."""
    return max(1, min(_BATCH_ROWS, _BATCH_TOKENS // context))


async def ask_claims(
    sandbox: Sandbox, question: AnswerShape, rows: TokenRows, *, on_first: Callable[[], None]
) -> Claims:
    """Return what the served model answers for the rows.

    `on_first` is called once the first batch is answered, before the second is sent.
    """
    inputs, targets = rows[:, :-1], rows[:, 1:]
    answers = _answers(sandbox, question, inputs, targets, on_first)
    return np.concatenate([claims async for claims in answers])


def audit_random(key: bytes, tree: bytes, seed: int) -> np.random.Generator:
    """Return what an audit draws with: the same for a run each time, and known to no script.

    So however often an audit begins anew, it looks at the same places of the same claims.
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
    """Return what the served model says of the withheld target at each position.

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
    """Yield the answers [rows, width] to some rows of tokens [rows, context] at a time.

    With them goes what is asked: targets of that shape, or a time for each row [rows].
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
