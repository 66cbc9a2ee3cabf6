"""What an answer in plain sentences says behind a label of its own line, like `WHY:`."""

import re
from typing import Final

from agent.model.answers.answer import without_thoughts
from agent.model.quoting import MAX_WHY, one_line

_EDGES: Final = " \t\r\n*_`\"'"


def labelled(text: str, word: str) -> str | None:
    """Return what stands behind the last label of an answer, made harmless; None without one."""
    said = without_thoughts(text)
    label = rf"^[\s*_#>`-]{{0,8}}{word}[*_`]{{0,3}}\s?:"
    ends = [found.end() for found in re.finditer(label, said, re.IGNORECASE | re.MULTILINE)]
    return tidied(said[ends[-1] :]) if ends else None


def tidied(text: str) -> str:
    """Return a reason that a model wrote, made harmless and cut, without decoration around it."""
    return one_line(text, MAX_WHY).strip(_EDGES)
