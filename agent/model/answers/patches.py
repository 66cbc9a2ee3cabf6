"""Patches between `*** Begin Patch` and `*** End Patch`, in Codex's format.

*** Update File: train.py
@@ class Model
@@ def forward
 context
-line that goes
+line that comes
"""

import re
from collections.abc import Sequence

from agent.model.answers.draft import Slip, Style
from agent.model.answers.hunks import add_hunk, split_hunks
from agent.model.answers.reading import AnswerReader

STYLE: Style = "a patch"
_BEGIN = re.compile(r"\s{0,8}\*\*\* ?Begin Patch\s*", re.IGNORECASE)
_END = re.compile(r"\s{0,8}\*\*\* ?End Patch\s*", re.IGNORECASE)
_UPDATE = re.compile(r"\*\*\* ?Update File: ?(.{1,200}?)\s*", re.IGNORECASE)
_END_OF_FILE = re.compile(r"\*\*\* ?End of File\s*", re.IGNORECASE)


def begins(lines: Sequence[str], at: int) -> bool:
    """Return whether a line opens a patch. Its `*** Begin Patch` may be missing."""
    return any(mark.fullmatch(lines[at]) for mark in (_BEGIN, _UPDATE))


def read(reading: AnswerReader) -> Slip | None:
    """Read the patch that begins at the current line; return its mistake, if any."""
    lines = reading.lines
    start = reading.at + (_BEGIN.fullmatch(reading.line) is not None)
    rows = range(start, len(lines))
    end = next((at for at in rows if _END.fullmatch(lines[at]) or reading.ends_wrap(at)), None)
    if end is None:
        return Slip(message="Your patch has no line `*** End Patch`.")
    reading.at = end + (not reading.ends_wrap(end))
    return read_lines(reading, lines[start:end])


def read_lines(reading: AnswerReader, lines: Sequence[str]) -> Slip | None:
    """Read the lines between the first and the last line of a patch."""
    path, at = "", 0
    while at < len(lines):
        line = lines[at]
        update = _UPDATE.fullmatch(line)
        if update is not None:
            path = update[1]
        elif line.startswith("***"):
            return Slip(
                message=f"`{line[:80]}` is not possible here: a patch may only update existing "
                "files (`*** Update File: name`)."
            )
        elif line.strip() and not path:
            return Slip(message="Your patch names no file: begin with `*** Update File: name`.")
        at += 1
        end = at
        while end < len(lines) and not _is_mark(lines[end]):
            end += 1
        slip = _add_hunks(reading, path, lines[at:end]) if path else None
        if slip is not None:
            return slip
        at = end
    return None


def _is_mark(line: str) -> bool:
    return line.startswith("***") and not _END_OF_FILE.fullmatch(line)


def _add_hunks(reading: AnswerReader, path: str, lines: Sequence[str]) -> Slip | None:
    anchors: list[str] = []
    # The context must be unique anyway, so the end-of-file mark adds nothing.
    for header, rows in split_hunks([line for line in lines if not _END_OF_FILE.fullmatch(line)]):
        anchor = header.removeprefix("@@").strip().removesuffix("@@").strip()
        anchors += [anchor] if anchor else []
        if not any(row.strip() for row in rows):
            continue  # the next header gives a more exact position
        slip = add_hunk(reading, STYLE, path, anchors, rows)
        if slip is not None:
            return slip
        anchors = []
    return None
