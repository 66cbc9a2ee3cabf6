"""What the runner asks of a sandbox: read here, and written outside by the same name."""

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What the runner asks of this sandbox.

    `context` is the number of tokens of a scored row, `batch_rows` how many are scored at once,
    `budget_tokens` 0 for budgets in seconds; an epoch is `parts` parts of the training data.
    """

    role: Literal["train", "serve"]
    seed: int
    entry: str
    context: int
    budget_tokens: int
    budget_seconds: float
    parts: int
    batch_rows: int
    vocabulary_size: int
    bos: int
    vocabulary: dict[str, Any]
