"""What a change does line by line, from edits, from a unified diff or from two sources.

Hunks are for reading, comparing and telling in words; nothing is ever applied from them. Work and
size are bounded, however large the text: a change is known by its first lines.
"""

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from protocol.ideas import Edit
from protocol.patches import unified_diff
from protocol.source import Source

_MOST_LINES = 400  # of one change
_MOST_CHARACTERS = 400  # of one line
_MOST_TEXT = _MOST_LINES * _MOST_CHARACTERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Hunk:
    """Lines that go and lines that come in one place."""

    removed: tuple[str, ...]
    added: tuple[str, ...]


def hunks_of(edits: Iterable[Edit], diff: str = "") -> tuple[Hunk, ...]:
    """Return what edits do; where there are none, what a unified diff says."""
    made = _bounded(hunk for edit in _first(edits) for hunk in _of_edit(edit))
    return made or _bounded(_of_diff(diff))


def hunks_between(old: Source, new: Source) -> tuple[Hunk, ...]:
    """Return what has to change for one source to become another."""
    return _bounded(_of_diff(unified_diff(old, new)))


def _first(edits: Iterable[Edit]) -> Iterator[Edit]:
    """Yield edits until there are lines enough to know a change by."""
    left = 2 * _MOST_LINES
    for edit in edits:
        yield edit
        left -= edit.search.count("\n") + edit.replace.count("\n") + 1
        if left <= 0:
            return


def _of_edit(edit: Edit) -> Iterator[Hunk]:
    old, new = _lines(edit.search), _lines(edit.replace)
    for tag, low, high, new_low, new_high in difflib.SequenceMatcher(None, old, new).get_opcodes():
        if tag != "equal":
            yield Hunk(removed=tuple(old[low:high]), added=tuple(new[new_low:new_high]))


def _of_diff(diff: str) -> Iterator[Hunk]:
    for is_change, group in groupby(_lines(diff), key=is_changed):
        if is_change:
            lines = list(group)
            removed = tuple(line[1:] for line in lines if line[0] == "-")
            yield Hunk(removed=removed, added=tuple(line[1:] for line in lines if line[0] == "+"))


def is_changed(line: str) -> bool:
    """Say whether a line of a unified diff is taken away or put in."""
    return line.startswith(("-", "+")) and not line.startswith(("--- ", "+++ "))


def _lines(text: str) -> list[str]:
    lines = text[:_MOST_TEXT].split("\n", 2 * _MOST_LINES)[: 2 * _MOST_LINES]
    return [line[:_MOST_CHARACTERS] for line in lines]


def _bounded(hunks: Iterable[Hunk]) -> tuple[Hunk, ...]:
    kept: list[Hunk] = []
    left = _MOST_LINES
    for hunk in hunks:
        removed, added = hunk.removed[:left], hunk.added[:left]
        kept.append(Hunk(removed=removed, added=added))
        left -= max(len(removed), len(added))
        if left <= 0:
            break
    return tuple(kept)
