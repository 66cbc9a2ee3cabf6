"""Makes a draft's change on a source, where every search matches exactly once.

Nothing is skipped and nothing is matched loosely: what does not fit is told back with what stands
there instead (openevolve drops such blocks without a word, and the model never learns of it).
"""

import difflib
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from agent.model.answer import Draft, Slip
from protocol.ideas import Edit
from protocol.source import Source

_NEAR_LINES = 5  # that are shown around the place a search was meant for
_MOST_PLACES = 5  # that are listed where it matches too often
_MAX_SHOWN = 200  # of one line
_MOST_COMPARED = 2_000
_LEAST_SHARE = 4  # a whole file shorter than one part in so many is a fragment


def apply_draft(draft: Draft, source: Source) -> Source | Slip:
    """Return the source with the change made, or what is wrong with it."""
    result = source
    for path in sorted({*(edit.path for edit in draft.blocks), *(path for path, _ in draft.files)}):
        if path not in dict(source.files):
            return Slip(message=f"There is no file {path}.")
        before = source[path].decode("utf-8", "replace")
        blocks = [edit for edit in draft.blocks if edit.path == path]
        after = (
            _replaced(before, blocks) if blocks else _whole(path, before, dict(draft.files)[path])
        )
        if isinstance(after, Slip):
            return after
        result = result.replacing(path, after.encode("utf-8", "replace"))
    if result == source:
        return Slip(message="Your change leaves the file as it is.")
    return result


def _whole(path: str, before: str, after: str) -> str | Slip:
    old, new = before.count("\n"), after.count("\n")
    if _LEAST_SHARE * new < old:
        return Slip(
            message=f"The block has {new} lines where {path} has {old}: give the whole file, or "
            "SEARCH/REPLACE blocks."
        )
    return after


def _replaced(text: str, blocks: Sequence[Edit]) -> str | Slip:
    """Return the text with all blocks made, each matched against the text as it was."""
    spans: list[tuple[int, int, str]] = []
    for number, block in enumerate(blocks, 1):
        if not block.search.strip():
            return Slip(message=f"Block {number} searches for nothing: give lines of the file.")
        places = _places(text, block.search)
        if len(places) != 1:
            return _misfit(number, block, text, places)
        start, end = places[0], places[0] + len(block.search)
        if not block.replace and _is_whole(text, start, end):
            end += 1  # a line that goes takes its end along
        spans.append((start, end, block.replace))
    spans.sort()
    for earlier, later in pairwise(spans):
        if later[0] < earlier[1]:
            line = text.count("\n", 0, later[0]) + 1
            return Slip(message=f"Two blocks overlap at line {line}: make them one.")
    for start, end, replacement in reversed(spans):
        text = text[:start] + replacement + text[end:]
    return text


def _places(text: str, search: str) -> list[int]:
    """Return where a search matches: as whole lines, or where it nowhere does, as a part of one."""
    found: list[int] = []
    at = text.find(search)
    while at >= 0 and len(found) < _MOST_COMPARED:
        found.append(at)
        at = text.find(search, at + 1)
    whole = [at for at in found if _is_whole(text, at, at + len(search))]
    return whole or found


def _is_whole(text: str, start: int, end: int) -> bool:
    """Say whether a stretch of text begins and ends with lines."""
    return (start == 0 or text[start - 1] == "\n") and text[end : end + 1] in ("", "\n")


def _misfit(number: int, block: Edit, text: str, places: Sequence[int]) -> Slip:
    """Say that a search matches nowhere, with the lines that come nearest, or too often."""
    if places:
        rows = [text.count("\n", 0, at) + 1 for at in places[:_MOST_PLACES]]
        where = ", ".join(map(str, rows)) + (", …" if len(places) > len(rows) else "")
        return Slip(
            message=f"SEARCH of block {number} matches {len(places)} times in {block.path} (lines "
            f"{where}): it must match exactly once. Add neighbouring lines to it."
        )
    wanted, there = block.search.split("\n"), text.split("\n")
    start = _nearest(wanted, there)
    message = (
        f"SEARCH of block {number} matches nowhere in {block.path}: it must match exactly once."
    )
    if start is None:
        return Slip(message=f"{message} Nothing there is like it.")
    end = min(len(there), start + max(len(wanted), _NEAR_LINES))
    shown = there[start : min(end, start + 4 * _NEAR_LINES)]
    return Slip(
        message=f"{message} {_difference(wanted, there[start:])} Nearest are the lines from "
        f"{start + 1} on:",
        source_lines=tuple(line[:_MAX_SHOWN] for line in shown),
    )


def _nearest(wanted: Sequence[str], there: Sequence[str]) -> int | None:
    """Return the line of the text that the search was most likely meant to begin at."""
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
    """Say which line of a search is the first that the text has otherwise."""
    for number, line in enumerate(wanted, 1):
        present = there[number - 1] if number <= len(there) else None
        if present == line:
            continue
        if present is None:
            return f"The file ends before line {number} of it."
        if present.strip() == line.strip():
            return f"Line {number} of it has other spaces than the file."
        return f"Line {number} of it is not in the file like that."
    return ""
