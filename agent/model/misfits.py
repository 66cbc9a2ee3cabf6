"""Messages about a block that matches nowhere or too often, with the file's nearest lines."""

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from agent.model.answers.draft import EditBlock, Slip, Style
from agent.model.places import LineMatch

_NEAR_LINES = 5  # lines shown around the position that a search was meant for
_MOST_PLACES = 5  # line numbers listed for a search that matches too often
_MAX_SHOWN = 200  # characters of one line
_MOST_COMPARED = 2_000
_CALLED: Final[Mapping[Style, str]] = {
    "SEARCH/REPLACE blocks": "SEARCH of block {}",
    "a diff": "Hunk {} of your diff",
    "a patch": "Hunk {} of your patch",
}


def called(block: EditBlock) -> str:
    """Return a name for the lines that a block looks for."""
    return _CALLED[block.style].format(block.number)


def misfit(block: EditBlock, text: str, found: Sequence[LineMatch]) -> Slip:
    """Return the slip for a block that matches too often or nowhere.

    If it matches nowhere, the slip shows the nearest lines of the file.
    """
    if found:
        rows = [place.start + 1 for place in found[:_MOST_PLACES]]
        where = ", ".join(map(str, rows)) + (", …" if len(found) > len(rows) else "")
        return Slip(
            message=f"{called(block)} matches {len(found)} times in {block.path} (lines "
            f"{where}): it must match exactly once. Add neighbouring lines."
        )
    wanted, there = block.search, text.split("\n")
    start = _nearest(wanted, there)
    within = f" below `{block.anchors[-1][:80]}`" if block.anchors else ""
    message = (
        f"{called(block)} matches nowhere in {block.path}{within}: it must match exactly once."
    )
    if start is None:
        return Slip(message=f"{message} No lines of the file are similar.")
    end = min(len(there), start + max(len(wanted), _NEAR_LINES))
    shown = there[start : min(end, start + 4 * _NEAR_LINES)]
    return Slip(
        message=f"{message} {_difference(wanted, there[start:])} The nearest lines begin at line "
        f"{start + 1}:",
        source_lines=tuple(line[:_MAX_SHOWN] for line in shown),
    )


def _nearest(wanted: Sequence[str], there: Sequence[str]) -> int | None:
    """Return the row where the search was most likely meant to begin."""
    rows: dict[str, list[int]] = {}
    for row, line in enumerate(there):
        if line.strip():
            rows.setdefault(line.strip(), []).append(row)
    votes: Counter[int] = Counter()
    for offset, line in enumerate(wanted[:_MOST_COMPARED]):
        for row in rows.get(line.strip(), [])[:_NEAR_LINES]:
            votes[row - offset] += 1
    if votes:
        most = max(votes.values())
        starts = [max(0, start) for start, count in votes.items() if count == most]
        return max(starts[:_MOST_PLACES], key=lambda start: _likeness(wanted, there[start:]))
    first = next((line.strip()[:_MAX_SHOWN] for line in wanted if line.strip()), "")
    candidates = [line[:_MAX_SHOWN] for line in list(rows)[:_MOST_COMPARED]]
    similar = difflib.get_close_matches(first, candidates, n=1)
    if not similar:
        return None
    return next(row for row, line in enumerate(there) if line.strip()[:_MAX_SHOWN] == similar[0])


def _likeness(wanted: Sequence[str], there: Sequence[str]) -> float:
    one, other = ("\n".join(lines[: len(wanted)])[:_MOST_COMPARED] for lines in (wanted, there))
    return difflib.SequenceMatcher(None, one, other).ratio()


def _difference(wanted: Sequence[str], there: Sequence[str]) -> str:
    """Return a sentence on the first line of a search that differs from the text."""
    for number, line in enumerate(wanted, 1):
        present = there[number - 1] if number <= len(there) else None
        if present == line:
            continue
        if present is None:
            return f"The file ends before its line {number}."
        if present.strip() == line.strip():
            return f"Its line {number} has other spaces than the file."
        return f"Its line {number} is not in the file."
    return ""
