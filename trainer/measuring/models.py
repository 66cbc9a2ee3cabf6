"""Language models that a candidate may call: the questions, the answers and a cache of answers.

The caller passes in the service that answers. This module handles no server, key or daily budget.
Answers to the runs of the latest few seeds are cached, so that baseline and candidate get the same
answer to the same question. A cached answer is delayed and charged like the first one, so a
candidate cannot detect the cache.
"""

import asyncio
import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

import msgpack

_KEPT_SEEDS: Final = 8  # of a pair and of its re-run, on several lanes
_STEPS_PER_DOUBLING: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelMessage:
    """One turn of a chat."""

    role: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelQuestion:
    """A chat to continue, in at most `most_tokens` tokens.

    `parameters` holds the other settings of the question, in JSON. `seed` is passed to
    models that accept a seed; it belongs to the instance on which the asking program runs.
    """

    model: str
    messages: tuple[ModelMessage, ...]
    parameters: str
    most_tokens: int
    seed: int

    @property
    def digest(self) -> bytes:
        """The hash that identifies the question."""
        said = [[one.role, one.content] for one in self.messages]
        asked = [self.model, said, self.parameters, self.most_tokens, self.seed.to_bytes(32, "big")]
        return hashlib.sha256(msgpack.packb(asked)).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAnswer:
    """The answer of a model. `is_cut` is True if it reached `most_tokens`."""

    text: str
    tokens_in: int
    tokens_out: int
    is_cut: bool = False

    @property
    def tokens(self) -> int:
        """The total number of tokens."""
        return self.tokens_in + self.tokens_out


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFault:
    """The reason a model gave no answer.

    `is_askers` is True if the question caused the fault, False if the service did.
    """

    detail: str
    is_askers: bool


ModelOutcome: TypeAlias = ModelAnswer | ModelFault


class Models(Protocol):
    """A service that answers questions."""

    async def ask(self, question: ModelQuestion) -> ModelOutcome:
        """Return a model's answer, or why it gave none. Raises ArnodeError if it never will."""


@dataclass(slots=True)
class _Kept:
    """An answer, None until the service has given it. Only the holder of `lock` asks for it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    answer: ModelAnswer | None = None
    took_s: float = 0.0


class KeptModels:
    """Language models whose answers are kept. The runners of a session share them."""

    def __init__(
        self,
        models: Models,
        *,
        clock_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._models = models
        self._clock_s = clock_s
        self._sleep = sleep
        self._of_seeds: OrderedDict[int, dict[tuple[bytes, int], _Kept]] = OrderedDict()

    async def ask(self, question: ModelQuestion, *, run_seed: int, turn: int) -> ModelOutcome:
        """Return the kept answer to a question in runs of this seed, or ask for one.

        `turn` is how often the same instance asked the same question before; the answers may
        differ.
        """
        began_s = self._clock_s()
        kept = self._of(run_seed).setdefault((question.digest, turn), _Kept())
        async with kept.lock:
            if kept.answer is None:
                asked_s = self._clock_s()
                outcome = await self._models.ask(question)
                if isinstance(outcome, ModelFault):
                    return outcome
                kept.answer, kept.took_s = outcome, stepped(self._clock_s() - asked_s)
        wait_s = began_s + kept.took_s - self._clock_s()
        if wait_s > 0:
            await self._sleep(wait_s)
        return kept.answer

    def _of(self, run_seed: int) -> dict[tuple[bytes, int], _Kept]:
        found = self._of_seeds.setdefault(run_seed, {})
        self._of_seeds.move_to_end(run_seed)
        while len(self._of_seeds) > _KEPT_SEEDS:
            self._of_seeds.popitem(last=False)
        return found


def stepped(took_s: float) -> float:
    """Return seconds rounded up to one of a few steps, so that similar times become equal."""
    if took_s <= 0:
        return 0.0
    return float(2.0 ** (math.ceil(_STEPS_PER_DOUBLING * math.log2(took_s)) / _STEPS_PER_DOUBLING))
