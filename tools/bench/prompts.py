"""The amount of history in a model's prompt, and the time to build the prompt.

The figures are for ten, a hundred and three thousand experiments and models with three context
lengths. They are the prompt's characters and its limit, the seconds to build it the first time and
again, the experiments in its table in full, in brief and omitted, and the omitted sections.
"""

import re
import time
from pathlib import Path
from typing import Final

from agent.model.prompt import history, prompt, prompt_input
from agent.proposal import NoProposal
from agent.worker.messages import ModelFacts
from agent.worker.prices import FREE
from node.home.config import Config
from node.proposing.model import limits_for, prompt_chars_for
from tests.agent.contexts import SECRET, TINY
from tests.agent.histories import long_context

_EXPERIMENTS: Final = (10, 100, 3_000)
_CONTEXTS: Final = (8_192, 65_536, 200_000)  # tokens
_UNKNOWN: Final = ModelFacts(provider="openai", price=None, context_tokens=None, answer_tokens=None)
_DROPPED: Final = re.compile(r"^Not shown for lack of room: (\d+) ", re.MULTILINE)


def run_prompts(_kept: Path) -> dict[str, object]:
    """Return the figures for each length of history and each context length."""
    return {
        f"{experiments} experiments": {
            f"{tokens} tokens": _measured(experiments, tokens) for tokens in _CONTEXTS
        }
        for experiments in _EXPERIMENTS
    }


def _measured(experiments: int, context_tokens: int) -> dict[str, object]:
    config = Config(llm_context=context_tokens)
    limit_chars = prompt_chars_for(
        config, limits_for(config, _UNKNOWN), FREE, source_chars=len(TINY["train.py"])
    )
    context = long_context(experiments)
    times = []
    for _ in range(2):
        began = time.perf_counter()
        messages = prompt(context, limit_chars=limit_chars, secret=SECRET)
        times.append(round(time.perf_counter() - began, 3))
    if isinstance(messages, NoProposal):
        return {"silent": messages.reason}
    text = messages[1].content
    given = prompt_input(context, SECRET)
    if isinstance(given, NoProposal):
        return {"silent": given.reason}
    fence = given.fence
    brief = text.partition("quoted: shortened")[2]
    dropped = int(found[1]) if (found := _DROPPED.search(text)) else 0
    in_brief = brief.partition(f"--- {fence.nonce} end ---")[0].count(f"\n{fence.mark}")
    sections = history(given).within(10_000_000)
    gone = [name for name, whole in sections.items() if whole.split("\n")[0] not in text]
    return {
        "limit_chars": limit_chars,
        "chars": sum(len(message.content) for message in messages),
        "first_s": times[0],
        "again_s": times[1],
        "whole": experiments - in_brief - dropped,
        "shortened": in_brief,
        "dropped": dropped,
        "sections_left_out": gone,
    }
