"""Edits as search and replace: they apply a proposal, a move or a peer's change to another base.

All edits of a set apply to the original text, so their order does not matter. If the search text of
one of them does not occur exactly once, none is applied and the result is None.
"""

import difflib
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Final

from protocol.hygiene import MAX_FILE_BYTES, MAX_LINES
from protocol.ideas import Edit
from protocol.source import Source, split_lines

MAX_EDITS: Final = 64  # of one change, if it is stored
MAX_EDIT_TEXT: Final = 4_096  # of each side of an edit
_MOST_GROWTH = 100  # lines added on each side to make a search unique
_MOST_LOOKS = 5_000  # searches in one file: a hostile file is given up within a second
_PIECE = MAX_EDIT_TEXT * 3 // 4  # target size when a larger edit is split at line ends


def reapply(edits: Sequence[Edit], onto: Source) -> Source | None:
    """Return `onto` with every edit applied, or None if one does not match exactly once."""
    result = onto
    paths = {path for path, _ in onto.files}
    for path in sorted({edit.path for edit in edits}):
        if path not in paths:
            return None
        changed = _apply(onto[path], [edit for edit in edits if edit.path == path])
        if changed is None:
            return None
        result = result.replacing(path, changed)
    return result


def is_made(edits: Sequence[Edit], source: Source) -> bool:
    """Return whether a change that leaves its search text in place has already been applied.

    Without this check an insertion next to an unchanged line is applied again and again.
    """
    texts = {path: data.decode("utf-8", "replace") for path, data in source.files}
    return any(
        edit.search in edit.replace and edit.replace in texts.get(edit.path, "") for edit in edits
    )


def edits_between(old: Source, new: Source) -> tuple[Edit, ...]:
    """Return edits that turn `old` into `new`; empty if impossible or beyond the limits.

    Each edit has whole lines, with as many neighbours as needed to make its search unique.
    """
    before = dict(old.files)
    if [path for path, _ in new.files] != [path for path, _ in old.files]:
        return ()
    edits: list[Edit] = []
    for path, data in new.files:
        if data != before[path]:
            found = _file_edits(path, before[path], data)
            if not found:
                return ()
            edits += found
    return tuple(edits) if are_kept(edits) else ()


def are_kept(edits: Sequence[Edit]) -> bool:
    """Return whether edits are few and short enough to be stored with an experiment."""
    return len(edits) <= MAX_EDITS and all(
        max(len(edit.search), len(edit.replace)) <= MAX_EDIT_TEXT for edit in edits
    )


def line_edit(path: str, text: str, start: int, end: int, replacement: str) -> Edit:
    """Return the edit that replaces text[start:end] by `replacement`.

    Its search is the whole line or lines, with as many neighbours as needed to make it unique.
    """
    low, high = _line_start(text, start), _line_end(text, end)
    while not _occurs_once(text, text[low:high]):
        low, high = _line_start(text, max(0, low - 1)), _line_end(text, high)
    return Edit(
        path=path,
        search=text[low:high],
        replace=text[low:start] + replacement + text[end:high],
    )


def _apply(data: bytes, edits: Sequence[Edit]) -> bytes | None:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if not all(_occurs_once(text, edit.search) for edit in edits):
        return None
    spans = sorted(
        (start, start + len(edit.search), edit.replace)
        for edit in edits
        for start in [text.index(edit.search)]
    )
    if any(later[0] < earlier[1] for earlier, later in pairwise(spans)):
        return None
    for start, end, replacement in reversed(spans):
        text = text[:start] + replacement + text[end:]
    return text.encode("utf-8")


def _occurs_once(text: str, search: str) -> bool:
    """Return whether `search` occurs exactly once; overlapping occurrences count."""
    first = text.find(search)
    return bool(search) and first >= 0 and text.find(search, first + 1) < 0


def _line_start(text: str, at: int) -> int:
    return text.rfind("\n", 0, at) + 1


def _line_end(text: str, at: int) -> int:
    """Return the end of the line that contains `at`, its newline included."""
    end = text.find("\n", at)
    return len(text) if end < 0 else end + 1


@dataclass(frozen=True, slots=True)
class _Step:
    """Lines low … high of the old file become new_low … new_high of the new one."""

    low: int
    high: int
    new_low: int
    new_high: int


class _Lines:
    """A file by lines, with a check whether a stretch of them is unique."""

    def __init__(self, data: bytes) -> None:
        self._text = data.decode("utf-8")
        lines = [line.decode("utf-8") for line in split_lines(data)]
        self._ends = [0, *accumulate(map(len, lines))]
        self._looks = 0

    def __len__(self) -> int:
        return len(self._ends) - 1

    def text(self, low: int, high: int) -> str:
        return self._text[self._ends[low] : self._ends[high]]

    def is_unique(self, low: int, high: int) -> bool:
        self._looks += 1
        return self._looks <= _MOST_LOOKS and _occurs_once(self._text, self.text(low, high))

    def cuts(self, low: int, high: int, count: int) -> list[int]:
        """Return where to cut lines low … high into `count` pieces of about the same length."""
        length = self._ends[high] - self._ends[low]
        wanted = (self._ends[low] + length * part / count for part in range(1, count))
        inner = [min(high, max(low, bisect_left(self._ends, end))) for end in wanted]
        return [low, *inner, high]


def _file_edits(path: str, old: bytes, new: bytes) -> list[Edit]:
    """Return the edits of one file, empty if impossible."""
    files = (old, new)
    if any(len(data) > MAX_FILE_BYTES or data.count(b"\n") > MAX_LINES for data in files):
        return []
    try:
        before, after = _Lines(old), _Lines(new)
    except UnicodeDecodeError:
        return []
    matcher = difflib.SequenceMatcher(None, split_lines(old), split_lines(new))
    changed = [span for tag, *span in matcher.get_opcodes() if tag != "equal"]
    ahead = [_Step(*span) for span in reversed(changed)]
    done: list[list[_Step]] = []
    while ahead:
        step, pieces = ahead.pop(), None
        for _ in range(_MOST_GROWTH):
            pieces = _pieces(step, before, after)
            if pieces is not None:
                break
            step = _grown(step, done, ahead, len(before))
        if pieces is None:
            return []
        done.append(pieces)
    return [
        Edit(
            path=path,
            search=before.text(piece.low, piece.high),
            replace=after.text(piece.new_low, piece.new_high),
        )
        for pieces in done
        for piece in pieces
    ]


def _grown(step: _Step, done: list[list[_Step]], ahead: list[_Step], lines: int) -> _Step:
    """Return a step extended by a line on each side, or merged with an adjacent step."""
    if done and done[-1][-1].high == step.low:
        first = done.pop()[0]
        step = replace(step, low=first.low, new_low=first.new_low)
    elif step.low > 0:
        step = replace(step, low=step.low - 1, new_low=step.new_low - 1)
    if ahead and ahead[-1].low == step.high:
        following = ahead.pop()
        step = replace(step, high=following.high, new_high=following.new_high)
    elif step.high < lines:
        step = replace(step, high=step.high + 1, new_high=step.new_high + 1)
    return step


def _pieces(step: _Step, before: _Lines, after: _Lines) -> list[_Step] | None:
    """Return a step in unique pieces short enough to be stored; None if that fails."""
    if not before.is_unique(step.low, step.high):
        return None
    longest = max(
        len(before.text(step.low, step.high)), len(after.text(step.new_low, step.new_high))
    )
    if longest <= MAX_EDIT_TEXT:
        return [step]
    count = -(-longest // _PIECE)
    old_cuts = before.cuts(step.low, step.high, count)
    new_cuts = after.cuts(step.new_low, step.new_high, count)
    spans = zip(pairwise(old_cuts), pairwise(new_cuts), strict=True)
    pieces = [_Step(*old, *new) for old, new in spans]
    return pieces if all(before.is_unique(one.low, one.high) for one in pieces) else None
