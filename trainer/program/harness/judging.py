"""The module `judging` that a task's judge may import: wrong answers, random numbers, models."""

import random
from collections.abc import Callable
from typing import Any


class Wrong(Exception):  # noqa: N818 -- a verdict
    """The reason why an answer is wrong, in one plain sentence."""


def random_of(seed: bytes) -> random.Random:
    """Return a generator of random numbers that depend only on an instance's 32 bytes."""
    return random.Random(int.from_bytes(seed, "big"))


class Unanswered(Exception):  # noqa: N818 -- likewise
    """The reason why a language model did not answer: the budget is spent, or it is away."""


def ask(messages: list[dict[str, str]], *, model: str = "any", **parameters: Any) -> str:
    """Return a language model's answer to a chat. The task needs a [judge.llm].

    `messages` and `parameters` are those of OpenAI's chat completions. Raises Unanswered.
    """
    return reply_to({"model": model, "messages": messages, **parameters})


def _unasked(_question: dict[str, Any]) -> str:
    raise Unanswered("only check() may ask, and only with a [judge.llm] in task.toml")


reply_to: Callable[[dict[str, Any]], str] = _unasked  # replaced by the code that loads the judge
