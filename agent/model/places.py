"""The search for a block's lines in a text, and the lines that replace them there.

Three matches are tried in order. First, exactly equal lines. Then, lines that differ in blanks at
their ends or in an indentation that is shifted as a whole; the new lines are shifted likewise.
Last, if the format is not limited to whole lines, a part of a line, but never of a name or number.
There is no looser match, because that would be a guess.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from agent.model.answers.draft import EditBlock, Style

_MOST_PLACES: Final = 2_000  # matches to look for; one is wanted
_MOST_LOOSE: Final = 50
_LINES_ONLY: Final[frozenset[Style]] = frozenset({"a diff", "a patch"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LineMatch:
    """Lines `start` to `end` (exclusive) of a text, and their replacement."""

    start: int
    end: int
    lines: tuple[str, ...]


def places(text: str, block: EditBlock) -> list[LineMatch]:
    """Return where a block can belong: empty or several places if that is not clear."""
    there = text.split("\n")
    found = [
        LineMatch(start=row, end=row + len(block.search), lines=block.replace)
        for row in _rows(there, block.search, most=_MOST_PLACES)
    ]
    if not found:
        found = list(_loose(there, block))
    if block.is_at_end:
        found = [one for one in found if one.end == len(there)]
    if not found and block.style not in _LINES_ONLY:
        return _parts(text, block)
    inside = _inside_of(there, block.anchors)
    if inside is None:
        return found
    return [one for one in found if any(low < one.end and one.start < high for low, high in inside)]


def changed(place: LineMatch, there: Sequence[str]) -> LineMatch:
    """Return a place without the lines that stay.

    If a line could be one of several equal ones, as when one is doubled, all of them stay in it.
    """
    old, new = there[place.start : place.end], place.lines
    shortest = min(len(old), len(new))
    first = _alike(old, new)
    last = _alike(old[::-1], new[::-1])
    low = min(first, shortest - last)
    high = min(last, shortest - first)
    return LineMatch(
        start=place.start + low,
        end=place.end - high,
        lines=new[low : len(new) - high],
    )


def _alike(one: Sequence[str], other: Sequence[str]) -> int:
    """Return the number of equal lines at the start of both."""
    count = 0
    while count < min(len(one), len(other)) and one[count] == other[count]:
        count += 1
    return count


def _rows(there: Sequence[str], search: Sequence[str], *, most: int) -> list[int]:
    """Return the rows where lines occur among others as whole lines, at most `most` of them."""
    text = "\n".join(["", *there, ""])
    wanted = "\n".join(["", *search, ""])
    starts = list(_starts(text, wanted, most))
    rows: list[int] = []
    row = at = 0
    for start in starts:
        row += text.count("\n", at, start)
        at = start
        rows.append(row)
    return rows


def _starts(text: str, wanted: str, most: int) -> Iterator[int]:
    at = text.find(wanted)
    while at >= 0 and most:
        yield at
        most -= 1
        at = text.find(wanted, at + 1)


def _loose(there: Sequence[str], block: EditBlock) -> Iterator[LineMatch]:
    """Yield where the lines occur except for blanks at their ends and one common shift."""
    search = block.search
    bare = [line.strip() for line in search]
    for row in _rows([line.strip() for line in there], bare, most=_MOST_LOOSE):
        old = there[row : row + len(search)]
        shift = _shift(search, old)
        if shift is None:
            continue
        # Lines that stay are the file's own, blanks included.
        first = _alike(search, block.replace)
        rest = min(len(search), len(block.replace)) - first
        last = min(_alike(search[::-1], block.replace[::-1]), rest)
        inner = [shift(line) for line in block.replace[first : len(block.replace) - last]]
        shifted = [line for line in inner if line is not None]
        if len(shifted) == len(inner):
            kept = old[len(old) - last :]
            yield LineMatch(start=row, end=row + len(old), lines=(*old[:first], *shifted, *kept))


def _shift(search: Sequence[str], old: Sequence[str]) -> Callable[[str], str | None] | None:
    """Return a function that gives new lines the file's indentation, or None if no rule fits.

    The function returns None for a line whose indentation does not follow from a searched one.
    """
    pairs = {
        (_indent(one), _indent(other))
        for one, other in zip(search, old, strict=True)
        if one.strip()
    }
    known = dict(pairs)
    if len(known) < len(pairs):
        return None
    if any("\t" in mine + theirs for mine, theirs in pairs):
        return lambda line: _indented(line, known.get(_indent(line), _by_tabs(known, line)))
    shifts = {len(theirs) - len(mine) for mine, theirs in pairs}
    return partial(_by_columns, shifts.pop()) if len(shifts) == 1 else None


def _by_columns(columns: int, line: str) -> str | None:
    indent = _indent(line)
    if not columns:
        return _indented(line, indent)
    is_known = "\t" not in indent and len(indent) >= -columns
    return _indented(line, " " * (len(indent) + columns) if is_known else None)


def _by_tabs(known: Mapping[str, str], line: str) -> str | None:
    """Return a line's indentation if all known pairs agree on the width of a tab."""
    indent = _indent(line)
    widths = {_tab_width(mine, theirs) for mine, theirs in known.items() if mine or theirs}
    width = widths.pop() if len(widths) == 1 else None
    if width is None:
        return None
    if any("\t" in mine for mine in known):
        return " " * (width * len(indent)) if set(indent) <= {"\t"} else None
    is_whole = set(indent) <= {" "} and not len(indent) % width
    return "\t" * (len(indent) // width) if is_whole else None


def _tab_width(mine: str, theirs: str) -> int | None:
    """Return the number of spaces per tab, if one side has tabs and the other spaces."""
    tabs, spaces = (mine, theirs) if "\t" in mine else (theirs, mine)
    is_one = set(tabs) == {"\t"} and set(spaces) == {" "} and not len(spaces) % len(tabs)
    return len(spaces) // len(tabs) if is_one else None


def _indented(line: str, indent: str | None) -> str | None:
    if not line.strip():
        return ""
    return None if indent is None else indent + line.lstrip()


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _parts(text: str, block: EditBlock) -> list[LineMatch]:
    """Return where a search is a part of a line, or of several lines from the middle of one."""
    search, new = "\n".join(block.search), "\n".join(block.replace)
    found: list[LineMatch] = []
    row = at = 0
    for start in _starts(text, search, _MOST_PLACES):
        row += text.count("\n", at, start)
        at = start
        end = start + len(search)
        if _is_within_word(text, start) or _is_within_word(text, end):
            continue
        low = text.rfind("\n", 0, start) + 1
        high = text.find("\n", end)
        high = len(text) if high < 0 else high
        lines = text[low:start] + new + text[end:high]
        found.append(
            LineMatch(start=row, end=row + len(block.search), lines=tuple(lines.split("\n")))
        )
    return found


def _is_within_word(text: str, at: int) -> bool:
    """Return whether a place is inside a name or a number: `LR = 1` is no part of `LR = 1.5`."""
    before, after = text[max(0, at - 1) : at], text[at : at + 1]
    is_number = (before + after).strip(".").isdigit() and "." in before + after
    return all(one.isalnum() or one == "_" for one in (before, after)) or is_number


def _inside_of(there: Sequence[str], anchors: Sequence[str]) -> list[tuple[int, int]] | None:
    """Return the stretches of the last anchor, each within a stretch of the anchor before it.

    Return None if an anchor is not a line of the text: then it is ignored.
    """
    stretches: list[tuple[int, int]] | None = None
    for anchor in anchors:
        rows = [row for row, line in enumerate(there) if _is_anchor(anchor, line)]
        if stretches is not None:
            rows = [row for row in rows if any(low <= row < high for low, high in stretches)]
        if not rows:
            return None
        stretches = [(row, _end_of(there, row)) for row in rows[:_MOST_LOOSE]]
    return stretches


def _is_anchor(anchor: str, line: str) -> bool:
    """Return whether an anchor names this line; the anchor may leave out the line's end."""
    bare, wanted = line.strip(), anchor.strip()
    if bare == wanted or bare == f"{wanted}:":
        return True
    is_opening = wanted.startswith(("def ", "class ", "async def "))
    return (
        is_opening
        and bare.startswith(wanted)
        and not (bare[len(wanted)].isalnum() or bare[len(wanted)] == "_")
    )


def _end_of(there: Sequence[str], row: int) -> int:
    """Return the line after the block that a line opens, or the text's end if it opens none."""
    indent = len(_indent(there[row]))
    for at in range(row + 1, len(there)):
        line = there[at]
        is_back = line.strip() and len(_indent(line)) <= indent
        # A closing bracket belongs to the block, and a comment may have any indentation.
        if is_back and not line.lstrip().startswith((")", "]", "}", "#")):
            return at if at > row + 1 else len(there)
    return len(there)
