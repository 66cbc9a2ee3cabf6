"""What the runner asks of a sandbox: read here, and written outside by the same name."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxJob:
    """What the runner asks of this sandbox.

    `context` is the number of tokens of a scored row, `batch_rows` how many are scored at once,
    `budget_tokens` 0 for budgets in seconds; an epoch is `parts` parts of the training data. A
    program of our own, which knows of no task, is asked with the defaults. `card` is what the
    proving run decided for this card (`trainer.proving`): nothing on a processor.
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
