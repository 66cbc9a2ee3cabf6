"""The module `judging` for a task's judge: reject answers, draw random numbers, ask models."""

import random
from collections.abc import Callable
from typing import Any


class Wrong(Exception):  # noqa: N818 -- a verdict
    """The reason why an answer is wrong, in one plain sentence."""


def random_of(seed: bytes) -> random.Random:
    """Return a random number generator that depends only on an instance's 32-byte seed."""
    return random.Random(int.from_bytes(seed, "big"))


class Unanswered(Exception):  # noqa: N818 -- likewise
    """The reason why a language model did not answer: a spent budget, or no model available."""


def ask(messages: list[dict[str, str]], *, model: str = "any", **parameters: Any) -> str:
    """Return a language model's answer to a chat. The task needs a [judge.llm].

    `messages` and `parameters` are those of OpenAI's chat completions. Raises Unanswered.
    """
    return reply_to({"model": model, "messages": messages, **parameters})


def _unasked(_question: dict[str, Any]) -> str:
    raise Unanswered("only check() may ask, and only with a [judge.llm] in task.toml")


reply_to: Callable[[dict[str, Any]], str] = _unasked  # replaced by the code that loads the judge
