"""Language models that a candidate may ask: what is asked, what comes back, and what is kept of it.

Who answers is passed in from outside; nothing here knows a server, a key or a day's budget. What
was answered is kept while the runs of a few seeds are repeated, so that base and candidate that ask
the same get the same. Who is given a kept answer waits for it about as long as whoever asked first,
and pays the same: from what is kept nobody learns anything.
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

_KEPT_SEEDS: Final = 8  # a pair's and its re-run's, on some lanes
_STEPS_PER_DOUBLING: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelMessage:
    """One turn of a chat."""

    role: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelQuestion:
    """A chat to go on with, in at most `most_tokens` tokens.

    `parameters` is what else was asked for, in JSON; `seed` is the chance of the place in a run
    where it is asked, for models that take any.
    """

    model: str
    messages: tuple[ModelMessage, ...]
    parameters: str
    most_tokens: int
    seed: int

    @property
    def digest(self) -> bytes:
        """What tells it from others."""
        said = [[one.role, one.content] for one in self.messages]
        told = [self.model, said, self.parameters, self.most_tokens, self.seed.to_bytes(32, "big")]
        return hashlib.sha256(msgpack.packb(told)).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAnswer:
    """What a model said. `is_cut`: it ran into `most_tokens`."""

    text: str
    tokens_in: int
    tokens_out: int
    is_cut: bool = False

    @property
    def tokens(self) -> int:
        """What it took in all."""
        return self.tokens_in + self.tokens_out


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFault:
    """Why there is no answer. `is_askers`: the question is to blame, and not whoever answers."""

    detail: str
    is_askers: bool


ModelOutcome: TypeAlias = ModelAnswer | ModelFault


class Models(Protocol):
    """Whoever answers."""

    async def ask(self, question: ModelQuestion) -> ModelOutcome:
        """Return what a model says, or why it says nothing. Raises ArnodeError if it never can."""


@dataclass(slots=True)
class _Kept:
    """One place for an answer; whoever holds the lock asks for it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    answer: ModelAnswer | None = None
    took_s: float = 0.0


class KeptModels:
    """Models of which the answers are kept. The runners of a session share them."""

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
        """Return what was answered to a question in a run of this seed, or ask it.

        `turn`: how often the same was asked before in the same place; its answers may differ.
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
    """Return seconds up to the next of a few steps, so that two that are alike are the same."""
    if took_s <= 0:
        return 0.0
    return float(2.0 ** (math.ceil(_STEPS_PER_DOUBLING * math.log2(took_s)) / _STEPS_PER_DOUBLING))
