"""The line-by-line effect of a change, from edits, from a unified diff or from two sources.

Hunks are for reading, comparing and describing. Nothing is ever applied from them. Work and size
are bounded for any text, because only a change's first lines are used.
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
    """The lines removed and added in one place."""

    removed: tuple[str, ...]
    added: tuple[str, ...]


def hunks_of(edits: Iterable[Edit], diff: str = "") -> tuple[Hunk, ...]:
    """Return the hunks of edits or, if they have none, of a unified diff."""
    made = _bounded(hunk for edit in _first(edits) for hunk in _of_edit(edit))
    return made or _bounded(_of_diff(diff))


def hunks_between(old: Source, new: Source) -> tuple[Hunk, ...]:
    """Return the hunks that turn one source into the other."""
    return _bounded(_of_diff(unified_diff(old, new)))


def _first(edits: Iterable[Edit]) -> Iterator[Edit]:
    """Yield edits until they have enough lines to identify a change."""
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
    """Return whether a line of a unified diff is removed or added."""
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
