"""Joins an answer that was cut off with what the model went on with.

The line that was not finished is left out, and the model is asked to say the last whole one again:
from there on nothing is lost, also where blanks at the beginning of an answer are. Models also
begin anew, or put what follows into a fence of its own; all of these can be told apart.
"""

import re
from collections.abc import Sequence

from agent.model.answers import marked
from agent.model.answers.answer import without_thoughts
from agent.model.answers.reading import AnswerReader

_OPENED = re.compile(r"\s{0,3}(?:`{3,9}|~{3,9})[\w+.: =\"-]{0,80}")
_CLOSED = re.compile(r"\s{0,3}(?:`{3,9}|~{3,9})\s*")


def whole_lines(text: str) -> str:
    """Return what was said of an answer that was cut: its whole lines, without thoughts."""
    said, line_end, _ = without_thoughts(text).rpartition("\n")
    return said + line_end if said.strip() else ""


def joined(begun: str, more: str) -> str:
    """Return an answer in one piece, of its whole lines and of what the model went on with."""
    said, more = whole_lines(begun), without_thoughts(more)
    if _begins_like(more, said):
        return more
    again = _said_again(said, more)
    if again is None:
        more = _unwrapped(more, said)
        again = _said_again(said, more)
    return said + more if again is None else again


def _said_again(said: str, more: str) -> str | None:
    """Return both in one piece if the second begins with the last line of the first."""
    last = said.rstrip().rpartition("\n")[2]
    first, line_end, rest = more.lstrip("\n").partition("\n")
    is_again = first.rstrip() in (last, last.lstrip())
    return said.rstrip() + line_end + rest if is_again else None


def _begins_like(more: str, said: str) -> bool:
    """Say whether an answer begins anew: by one line alone the next block may begin alike."""
    ours, theirs = _first_two(said), _first_two(more)
    return len(ours) > 1 and ours == theirs


def _first_two(text: str) -> list[str]:
    return [line.strip() for line in text[:2_000].split("\n") if line.strip()][:2]


def _ends_in_fence(text: str) -> bool:
    lines = text.split("\n")
    reading = AnswerReader(lines=lines, editable=())
    row = 0
    while row < len(lines):
        fence = reading.fence_at(row)
        if fence is not None and fence.is_open:
            return True
        row = row + 1 if fence is None else fence.after
    return False


def _unwrapped(more: str, said: str) -> str:
    """Return what follows without the marks of a fence that has no place there."""
    lines: Sequence[str] = more.strip("\n").split("\n")
    if not _OPENED.fullmatch(lines[0]):
        return more
    if marked.is_open(said.split("\n")) and _CLOSED.fullmatch(lines[-1]):
        return "\n".join(lines[1:-1])
    # A bare mark ends a fence, one with a language opens it again.
    is_again = _ends_in_fence(said) and not _CLOSED.fullmatch(lines[0])
    return "\n".join(lines[1:]) if is_again else more
