"""Turning an answer that gives the API key away into a failure that holds nothing of it.

Both the worker and the core look, as the core believes the worker no more than the server. What is
looked at is all that is kept of an answer: its text or the words of its fault, and its figures.
"""

from dataclasses import replace
from typing import Final

from agent.worker.key_watch import KeyWatch
from agent.worker.messages import Failure, Reply
from agent.worker.prices import Usage

WHY: Final = "what its server said holds pieces of an API key, and was thrown away"
STOPPED: Final = "its server has given an API key away, so it is asked no more"


def without_secrets(answer: Reply | Failure, watch: KeyWatch) -> Reply | Failure:
    """Return an answer with each whole secret masked, or a failure if it gives one away."""
    if isinstance(answer, Reply):
        answer = replace(answer, text=watch.masked(answer.text))
        kept = [answer.text]
    else:
        answer = replace(answer, detail=watch.masked(answer.detail))
        kept = [answer.detail, str(answer.retry_ms)]
    if answer.usage is not None:
        kept += [str(answer.usage.tokens_in), str(answer.usage.tokens_out)]
    if not watch.reveals(*kept):
        return answer
    may_have_cost = isinstance(answer, Reply) or answer.may_have_cost
    return leaked(answer.id, WHY, usage=answer.usage, may_have_cost=may_have_cost)


def leaked(
    number: int, detail: str, *, usage: Usage | None = None, may_have_cost: bool = False
) -> Failure:
    """Return the failure of a question whose model is not to be trusted with its key."""
    return Failure(
        id=number,
        fault="leaked_key",
        detail=detail,
        retry_ms=None,
        usage=usage,
        may_have_cost=may_have_cost,
    )
