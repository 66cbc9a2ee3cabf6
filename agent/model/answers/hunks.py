"""The lines of one hunk, as a block: what diffs and patches have in common.

Where a hunk belongs, its context says; the numbers in its header are never believed, as models
cannot count lines. What is no line of the file after all has no place there.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from agent.model.answers.draft import Slip, Style
from agent.model.answers.reading import AnswerReader

_MARKS = (" ", "+", "-", "\\")


def is_hunk_line(line: str) -> bool:
    """Say whether a line can belong to a hunk; of an empty one the space was dropped."""
    return not line or line.startswith(_MARKS)


def split_hunks(lines: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield each hunk's header, empty of one that has none, and its lines."""
    starts = [at for at, line in enumerate(lines) if line.startswith("@@")]
    first = starts[0] if starts else len(lines)
    if any(line.strip() for line in lines[:first]):
        yield "", lines[:first]
    for start, end in pairwise([*starts, len(lines)]):
        yield lines[start], lines[start + 1 : end]


def add_hunk(
    reading: AnswerReader, style: Style, path: str, anchors: Sequence[str], lines: Sequence[str]
) -> Slip | None:
    """Take a hunk in, or say what is wrong with it."""
    number = reading.count(style) + 1
    rows = list(lines)
    while rows and not rows[-1]:  # before what comes next, not of the file
        rows.pop()
    old: list[str] = []
    new: list[str] = []
    is_unended: set[str] = set()  # the sides whose last line has no end
    last = ""
    for row in rows:
        # A line without a mark is one that stays: its space was left out.
        mark, line = (row[0], row[1:]) if row.startswith(_MARKS) else (" ", row)
        if mark == "\\":
            is_unended |= {"-", "+"} if last == " " else {last}
            continue
        last = mark
        if mark != "+":
            old.append(line)
        if mark != "-":
            new.append(line)
    is_at_end = len(is_unended & {"-", "+"}) == 1
    if is_at_end:  # the last line's end comes or goes: the empty line after it
        (new if "-" in is_unended else old).append("")
    if old == new:
        return None
    if not any(line.strip() for line in old):
        return Slip(
            message=f"Hunk {number} does not say where it belongs: give lines of the file around "
            "what it adds."
        )
    return reading.add(style, old, new, path=path, anchors=anchors, is_at_end=is_at_end)
