"""A client that asks one model for the next answer of a conversation, with pauses after faults.

If a prompt was too long, it is shortened and sent again. If an answer was cut off, the model is
asked to continue it. The caller supplies a `Complete`, which sends the questions and limits their
cost. The caller also decides whether an answer is usable.
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
from agent.proposal import NoProposal

MAX_MODEL: Final = 80  # characters of a model's name
MAX_DETAIL: Final = 200  # characters of the reason for having no proposal
NOTHING_USABLE_S: Final = 60.0  # the pause after an answer that could not be used

# The pause after a fault by its kind. It doubles with every further consecutive fault.
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
# The pause stays short: a check whether the server is back takes one call, and its owner waits.
_LONGEST_PAUSES_S: Final[dict[FaultKind, float]] = {"unreachable": 300.0}
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionLimits:
    """Limits of a question: characters of the conversation, tokens and seconds of an answer."""

    prompt_chars: int
    answer_tokens: int
    timeout_s: float


@dataclass(slots=True, eq=False)
class Asker:
    """A client that asks `model` through `complete`, within limits, and counts consecutive faults.

    Subclasses define what is asked. Quotes are enclosed in fences derived from `secret`, at least
    16 bytes that only this node knows.
    """

    complete: Complete
    _: KW_ONLY
    model: str
    limits: QuestionLimits
    secret: bytes = field(repr=False)
    _faults: int = field(default=0, init=False)  # consecutive

    def __post_init__(self) -> None:
        fence_for(self.secret, "")  # raises now, not at the first question, if it is too short
        self.model = one_line(self.model, MAX_MODEL)

    def conversation(self, begin: Begin, fence: QuoteFence) -> ModelConversation:
        """Return a conversation that starts with the prompt of `begin`; quotes are in `fence`."""
        return ModelConversation(begin=begin, fence=fence, limit_chars=self.limits.prompt_chars)

    async def answer(
        self, talk: ModelConversation
    ) -> tuple[ModelCompletion | NoProposal, ModelCost]:
        """Return the next answer, joined with its continuations, and the cost of asking."""
        answer, cost = await self._ask(talk)
        while (
            isinstance(answer, ModelCompletion)
            and answer.is_cut
            and await asyncio.to_thread(talk.resume, answer.text)
        ):
            more, spent = await self._ask(talk)
            cost += spent
            if isinstance(more, NoProposal):
                return more, cost
            whole = await asyncio.to_thread(joined, answer.text, more.text)
            answer = replace(more, text=whole, cost=answer.cost + more.cost)
        return answer, cost

    async def _ask(self, talk: ModelConversation) -> tuple[ModelCompletion | NoProposal, ModelCost]:
        """Return the model's next text, or the reason there is none, and the cost of asking."""
        cost = ModelCost()
        while True:
            messages = await asyncio.to_thread(talk.messages)
            if isinstance(messages, NoProposal):
                return messages, cost
            question = CompletionRequest(
                messages=messages,
                max_tokens=self.limits.answer_tokens,
                timeout_s=self.limits.timeout_s,
            )
            since_s = talk.log.ask(messages)
            answer = await self.complete(question)
            talk.log.answered(self.model, answer, since_s)
            cost += answer.cost
            if isinstance(answer, ModelCompletion):
                self._faults = 0
                return answer, cost
            if answer.kind != "overflow" or not talk.shrink():
                self._faults += 1
                return _pause_after(answer, self._faults), cost


class Resting:
    """The pause of a proposer or reviewer after a failure, and the reason last reported for it.

    `clock_s` returns seconds since an arbitrary start.
    """

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._until_s = float("-inf")
        self._reported_reason = ""

    @property
    def is_on(self) -> bool:
        """True during a pause."""
        return self._clock_s() < self._until_s

    @property
    def left_s(self) -> float:
        """The seconds until the pause ends."""
        return max(0.0, self._until_s - self._clock_s())

    @property
    def why(self) -> str:
        """The reason for the pause, "" if there is no pause."""
        return self._reported_reason if self.is_on else ""

    def begin(self, no_proposal: NoProposal) -> bool:
        """Pause for as long as `no_proposal` asks; return whether its reason is new."""
        self._until_s = self._clock_s() + no_proposal.retry_s
        is_news = no_proposal.reason != self._reported_reason
        self._reported_reason = no_proposal.reason
        return is_news

    def end(self) -> bool:
        """Record a success; return whether a reason was reported for the failures before it."""
        was_reported, self._reported_reason = bool(self._reported_reason), ""
        return was_reported


def _pause_after(fault: CompletionFault, faults: int) -> NoProposal:
    """Return the pause that the server asked for, else one that grows with consecutive faults."""
    longest_s = _LONGEST_PAUSES_S.get(fault.kind, _LONGEST_PAUSE_S)
    pause_s = min(longest_s, _PAUSES_S[fault.kind] * 2.0 ** min(faults - 1, 20))
    if fault.retry_s is not None and math.isfinite(fault.retry_s):
        pause_s = min(max(1.0, fault.retry_s), _DAY_S)
    detail = one_line(fault.detail, MAX_DETAIL)
    words = fault.kind.replace("_", " ")
    return NoProposal(reason=f"{words}: {detail}" if detail else words, retry_s=pause_s)
