"""The search for a block's lines in a text, with the lines that replace them.

Three kinds of match are tried in order. The first is equal lines. The second is lines that differ
in trailing blanks or in a common shift of the indentation; the new lines are shifted too. The third
is a part of a line that splits no name or number; it is not tried for formats of whole lines. A
looser match would be a guess.
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
    """Return all matches of a block; the block is applied only if there is exactly one."""
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
    """Return a match without the unchanged lines at its start and end.

    If it is unclear which of several equal lines changed (for example, a line was doubled), keep
    all of them.
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
    """Return the rows of `there` where the searched lines occur, at most `most` rows."""
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
    """Yield the matches that ignore trailing blanks and one common shift of the indentation."""
    search = block.search
    bare = [line.strip() for line in search]
    for row in _rows([line.strip() for line in there], bare, most=_MOST_LOOSE):
        old = there[row : row + len(search)]
        shift = _shift(search, old)
        if shift is None:
            continue
        # Unchanged lines keep the file's blanks.
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

    That function returns None for a line whose indentation cannot be derived from the search.
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
    """Return a line's indentation if all `known` indentations imply the same tab width."""
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
    """Return the number of spaces per tab, if one indentation has tabs and the other spaces."""
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
    """Return the matches that begin or end in the middle of a line."""
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
    """Return whether a position splits a name or number: `LR = 1` does not match `LR = 1.5`."""
    before, after = text[max(0, at - 1) : at], text[at : at + 1]
    is_number = (before + after).strip(".").isdigit() and "." in before + after
    return all(one.isalnum() or one == "_" for one in (before, after)) or is_number


def _inside_of(there: Sequence[str], anchors: Sequence[str]) -> list[tuple[int, int]] | None:
    """Return the row ranges in which the searched lines may lie, given their anchors.

    Each anchor is a line such as `class Model:` that begins an indented block. It must lie inside
    the blocks of the anchor before it. The ranges are the blocks of the last anchor. Return None
    if no line of the text is such an anchor: then all anchors are ignored.
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
    """Return whether an anchor is this line, or the beginning of it."""
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
    """Return the row after the indented block below a line; the text's end if there is no block."""
    indent = len(_indent(there[row]))
    for at in range(row + 1, len(there)):
        line = there[at]
        is_back = line.strip() and len(_indent(line)) <= indent
        # A closing bracket belongs to the block, and a comment may have any indentation.
        if is_back and not line.lstrip().startswith((")", "]", "}", "#")):
            return at if at > row + 1 else len(there)
    return len(there)
