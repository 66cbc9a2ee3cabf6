"""The retries of questions to a model: a backoff, and the completion function that uses it.

Temporary faults are retried, each time after a longer wait. Half of a wait is random, so that many
nodes do not retry at once. A server's Retry-After is obeyed up to a limit; beyond it the fault is
returned to the caller. A refused key is not retried.
"""

import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from agent.completion import (
    Complete,
    CompletionFault,
    CompletionRequest,
    FaultKind,
    ModelCompletion,
)

# Retries for each kind of fault. A timeout has already used its time, and all its tokens.
_AGAIN: Final[Mapping[FaultKind, int]] = MappingProxyType(
    {"rate_limited": 4, "server": 3, "unreachable": 3, "timeout": 1, "worker": 2}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """Waits of `first_s`, doubling to `longest_s`; `honoured_s` is the longest Retry-After."""

    first_s: float = 2.0
    longest_s: float = 60.0
    honoured_s: float = 120.0
    again: Mapping[FaultKind, int] = field(default_factory=lambda: _AGAIN)

    def wait_s(self, fault: CompletionFault, tries: int, chance: random.Random) -> float | None:
        """Return the seconds to wait after try number `tries` (from 1); None if it was the last."""
        if tries > self.again.get(fault.kind, 0):
            return None
        usual_s = min(self.first_s * 2.0 ** (tries - 1), self.longest_s)
        jitter_s = usual_s * chance.uniform(0.5, 1.0)
        if fault.retry_s is None:
            return jitter_s
        # Wait at least as long as the server asked, plus a random time.
        return fault.retry_s + jitter_s if fault.retry_s <= self.honoured_s else None


def persistent(
    complete: Complete,
    *,
    sleep: Callable[[float], Awaitable[None]],
    chance: random.Random,
    ladder: Ladder | None = None,
    on_wait: Callable[[CompletionFault, float], None] = lambda _fault, _wait_s: None,
) -> Complete:
    """Return a completion function that retries with the waits of a `Ladder`.

    The costs in its result are the sum over all tries. A question that fails in the same way as the
    previous question is not retried: a server may be down all night, and each try counts against
    `calls_per_day`.
    """
    steps = ladder or Ladder()
    known: CompletionFault | None = None

    async def ask(question: CompletionRequest) -> ModelCompletion | CompletionFault:
        nonlocal known
        before: list[CompletionFault] = []
        while True:
            outcome = await complete(question)
            if isinstance(outcome, ModelCompletion):
                known = None
                return _with(outcome, before)
            wait_s = steps.wait_s(outcome, len(before) + 1, chance)
            if wait_s is None or outcome == known:
                known = outcome
                return _with(outcome, before)
            on_wait(outcome, wait_s)
            before.append(outcome)
            await sleep(wait_s)

    return ask


def _with(
    outcome: ModelCompletion | CompletionFault, before: list[CompletionFault]
) -> ModelCompletion | CompletionFault:
    return replace(outcome, cost=sum((fault.cost for fault in before), outcome.cost))
