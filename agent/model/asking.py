"""Asks one model for the next answer of a conversation, and says how long to leave it alone.

A prompt that was too long is fitted again, shorter; an answer that was cut is gone on with. Who
answers, and what it may cost, is the business of the `Complete` that is handed in; what makes an
answer good, that of whoever asks.
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Final

from agent.completion import (
    Complete,
    CompletionFault,
    CompletionRequest,
    FaultKind,
    ModelCompletion,
    ModelCost,
)
from agent.model.answers.joining import joined
from agent.model.conversation import Begin, ModelConversation
from agent.model.quoting import QuoteFence, fence_for, one_line
from agent.proposal import Silence

MAX_MODEL: Final = 80  # characters of a model's name
MAX_DETAIL: Final = 200  # of why it has nothing
NOTHING_USABLE_S: Final = 60.0  # to leave one alone that answered, and with nothing to be used

# How long to leave a model alone after a fault, and whether twice as long after each more.
_PAUSES_S: Final[dict[FaultKind, float]] = {
    "unauthorized": 3600.0,
    "unknown_model": 3600.0,
    "overflow": 3600.0,
    "over_budget": 3600.0,
    "leaked_key": 3600.0,
    "rate_limited": 60.0,
    "unreachable": 60.0,
    "server": 60.0,
    "timeout": 60.0,
    "garbage": 60.0,
    "empty": 60.0,
    "worker": 30.0,
}
_LONGEST_PAUSE_S = 3600.0
# To look whether a server is back costs a call at most, and whoever starts it again waits for it.
_LONGEST_PAUSES_S: Final[dict[FaultKind, float]] = {"unreachable": 300.0}
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionLimits:
    """What one question may be: characters of the conversation, tokens and seconds of an answer."""

    prompt_chars: int
    answer_tokens: int
    timeout_s: float


@dataclass(slots=True, eq=False)
class Asker:
    """Asks `model` through `complete`, within limits, and counts its faults in a row.

    What for, a subclass says. `secret`, of at least 16 bytes, is this node's own: the fences of
    quotes follow from it.
    """

    complete: Complete
    _: KW_ONLY
    model: str
    limits: QuestionLimits
    secret: bytes = field(repr=False)
    _faults: int = field(default=0, init=False)  # in a row

    def __post_init__(self) -> None:
        fence_for(self.secret, "")  # refuses one that can be guessed, before it is needed
        self.model = one_line(self.model, MAX_MODEL)

    def conversation(self, begin: Begin, fence: QuoteFence) -> ModelConversation:
        """Return one that `begin` returns the prompt of, with quotes in `fence`."""
        return ModelConversation(begin=begin, fence=fence, limit_chars=self.limits.prompt_chars)

    async def answer(self, talk: ModelConversation) -> tuple[ModelCompletion | Silence, ModelCost]:
        """Return the next answer, in one piece if it came in several, and what asking took."""
        answer, cost = await self._ask(talk)
        while (
            isinstance(answer, ModelCompletion)
            and answer.is_cut
            and await asyncio.to_thread(talk.resume, answer.text)
        ):
            more, spent = await self._ask(talk)
            cost += spent
            if isinstance(more, Silence):
                return more, cost
            whole = await asyncio.to_thread(joined, answer.text, more.text)
            answer = replace(more, text=whole, cost=answer.cost + more.cost)
        return answer, cost

    async def _ask(self, talk: ModelConversation) -> tuple[ModelCompletion | Silence, ModelCost]:
        """Return what comes next of the model, or why nothing does, and what asking took."""
        cost = ModelCost()
        while True:
            messages = await asyncio.to_thread(talk.messages)
            if isinstance(messages, Silence):
                return messages, cost
            question = CompletionRequest(
                messages=messages,
                max_tokens=self.limits.answer_tokens,
                timeout_s=self.limits.timeout_s,
            )
            answer = await self.complete(question)
            cost += answer.cost
            if isinstance(answer, ModelCompletion):
                self._faults = 0
                return answer, cost
            if answer.kind != "overflow" or not talk.shrink():
                self._faults += 1
                return _silence(answer, self._faults), cost


class Resting:
    """When one that had nothing is asked again, and whether people know why.

    `clock_s` counts seconds from anywhere.
    """

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._until_s = float("-inf")
        self._told = ""

    @property
    def is_on(self) -> bool:
        """True if it must not be asked now."""
        return self._clock_s() < self._until_s

    @property
    def left_s(self) -> float:
        """For how many seconds it must not be asked."""
        return max(0.0, self._until_s - self._clock_s())

    @property
    def why(self) -> str:
        """Why it is not to be asked now, "" if it may be."""
        return self._told if self.is_on else ""

    def begin(self, silence: Silence) -> bool:
        """Rest for as long as a silence asks; return whether its reason is news."""
        self._until_s = self._clock_s() + silence.retry_s
        is_news = silence.reason != self._told
        self._told = silence.reason
        return is_news

    def end(self) -> bool:
        """Take note that it had something; return whether people were told that it had nothing."""
        was_told, self._told = bool(self._told), ""
        return was_told


def _silence(fault: CompletionFault, faults: int) -> Silence:
    """Return a pause: as long as the other end asked for, else longer with every fault in a row."""
    longest_s = _LONGEST_PAUSES_S.get(fault.kind, _LONGEST_PAUSE_S)
    pause_s = min(longest_s, _PAUSES_S[fault.kind] * 2.0 ** min(faults - 1, 20))
    if fault.retry_s is not None and math.isfinite(fault.retry_s):
        pause_s = min(max(1.0, fault.retry_s), _DAY_S)
    detail = one_line(fault.detail, MAX_DETAIL)
    words = fault.kind.replace("_", " ")
    return Silence(reason=f"{words}: {detail}" if detail else words, retry_s=pause_s)
