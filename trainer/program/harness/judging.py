"""What a task's judge may import, as `judging`: the word for a wrong answer, chance, and models."""

import random
from collections.abc import Callable
from typing import Any


class Wrong(Exception):  # noqa: N818 -- a verdict
    """What is wrong with an answer, in one plain sentence."""


def random_of(seed: bytes) -> random.Random:
    """Return chance that follows from the 32 bytes of an instance alone."""
    return random.Random(int.from_bytes(seed, "big"))


class Unanswered(Exception):  # noqa: N818 -- likewise
    """Why a language model says nothing, in one sentence: the budget is spent, or it is away."""


def ask(messages: list[dict[str, str]], *, model: str = "any", **parameters: Any) -> str:
    """Return what a language model says to a chat, where the task's [judge.llm] lets its judge ask.

    `messages` and `parameters` are those of OpenAI's chat completions. Raises Unanswered.
    """
    return reply_to({"model": model, "messages": messages, **parameters})


def _unasked(_question: dict[str, Any]) -> str:
    raise Unanswered("only check() may ask, and only with a [judge.llm] in task.toml")


reply_to: Callable[[dict[str, Any]], str] = _unasked  # what loads the judge puts another here
