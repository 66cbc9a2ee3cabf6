"""Conversion of hunks into blocks, shared by diffs and Codex patches.

Only a hunk's context says where it belongs. The numbers in its header are ignored, because models
cannot count lines. Lines that are not part of the file are dropped.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from agent.model.answers.draft import Slip, Style
from agent.model.answers.reading import AnswerReader

_MARKS = (" ", "+", "-", "\\")


def is_hunk_line(line: str) -> bool:
    """Return whether a line can belong to a hunk. An empty line counts as empty context."""
    return not line or line.startswith(_MARKS)


def split_hunks(lines: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield each hunk's header ("" if it has none) and its lines."""
    starts = [at for at, line in enumerate(lines) if line.startswith("@@")]
    first = starts[0] if starts else len(lines)
    if any(line.strip() for line in lines[:first]):
        yield "", lines[:first]
    for start, end in pairwise([*starts, len(lines)]):
        yield lines[start], lines[start + 1 : end]


def add_hunk(
    reading: AnswerReader, style: Style, path: str, anchors: Sequence[str], lines: Sequence[str]
) -> Slip | None:
    """Add a hunk as a block; return its mistake, if any."""
    number = reading.count(style) + 1
    rows = list(lines)
    while rows and not rows[-1]:  # blank lines after the hunk are not lines of the file
        rows.pop()
    old: list[str] = []
    new: list[str] = []
    is_unended: set[str] = set()  # "-" or "+": the versions whose last line has no newline
    last = ""
    for row in rows:
        # A line without a mark is context: the model left out the leading space.
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
    if is_at_end:  # the final newline is added or removed: the empty line after it
        (new if "-" in is_unended else old).append("")
    if old == new:
        return None
    if not any(line.strip() for line in old):
        return Slip(
            message=f"Hunk {number} has no context: give lines of the file around what it adds."
        )
    return reading.add(style, old, new, path=path, anchors=anchors, is_at_end=is_at_end)
