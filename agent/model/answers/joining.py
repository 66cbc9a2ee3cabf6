"""Code that joins a truncated answer with its continuation.

The unfinished line is dropped, and the model is asked to repeat the last whole line. That line
shows where the continuation begins, even if the model drops blanks there. Some models start from
the beginning again, or put the continuation into a new fence; both are recognised.
"""

import re
from collections.abc import Sequence

from agent.model.answers import marked
from agent.model.answers.answer import without_thoughts
from agent.model.answers.reading import AnswerReader

_OPENED = re.compile(r"\s{0,3}(?:`{3,9}|~{3,9})[\w+.: =\"-]{0,80}")
_CLOSED = re.compile(r"\s{0,3}(?:`{3,9}|~{3,9})\s*")


def whole_lines(text: str) -> str:
    """Return the whole lines of a truncated answer, without reasoning."""
    said, line_end, _ = without_thoughts(text).rpartition("\n")
    return said + line_end if said.strip() else ""


def joined(begun: str, more: str) -> str:
    """Return one answer from the whole lines of the first part and the continuation."""
    said, more = whole_lines(begun), without_thoughts(more)
    if _begins_like(more, said):
        return more
    again = _said_again(said, more)
    if again is None:
        more = _unwrapped(more, said)
        again = _said_again(said, more)
    return said + more if again is None else again


def _said_again(said: str, more: str) -> str | None:
    """Return the joined text if `more` begins with the last line of `said`."""
    last = said.rstrip().rpartition("\n")[2]
    first, line_end, rest = more.lstrip("\n").partition("\n")
    is_again = first.rstrip() in (last, last.lstrip())
    return said.rstrip() + line_end + rest if is_again else None


def _begins_like(more: str, said: str) -> bool:
    """Return whether `more` starts the answer again: its first two lines are the same.

    One equal line is not enough, because the next block may begin with it.
    """
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
    """Return the continuation without the marks of a superfluous fence."""
    lines: Sequence[str] = more.strip("\n").split("\n")
    if not _OPENED.fullmatch(lines[0]):
        return more
    if marked.is_open(said.split("\n")) and _CLOSED.fullmatch(lines[-1]):
        return "\n".join(lines[1:-1])
    # A mark without a language closes a fence; a mark with a language opens it again.
    is_again = _ends_in_fence(said) and not _CLOSED.fullmatch(lines[0])
    return "\n".join(lines[1:]) if is_again else more
