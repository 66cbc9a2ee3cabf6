"""The job that the runner sends to a sandbox; both sides use this class."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxJob:
    """The job of one sandbox. The defaults are for our own programs, which have no task.

    `context` is the number of tokens in a scored row, `batch_rows` the batch size of scoring.
    `budget_tokens` is 0 for budgets in seconds. The training data is handed over in parts, and
    `parts` of them make an epoch. `card` holds the results of the card's self-test
    (`trainer.card_selftest`); it is empty on a processor.
    """

    role: str
    seed: int = 0
    entry: str = "train.py"
    context: int = 1
    budget_tokens: int = 0
    budget_seconds: float = 0.0
    parts: int = 1
    batch_rows: int = 1
    vocabulary_size: int = 2
    bos: int = 1
    vocabulary: dict[str, Any] = field(default_factory=dict)
    card: dict[str, Any] = field(default_factory=dict)
