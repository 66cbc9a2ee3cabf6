"""Removal of untrusted prose: comments, docstrings and unused strings in added lines.

A coding agent trusts the files that it edits, so they must contain no message from a peer. Lines
from the base stay as they are. If the canonical AST changes, the source is rejected. Names and
strings that the program uses stay too, because they are code. This module parses untrusted code, so
it runs in the inspector's process.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate

from agent.source.canonical import blocks, is_unused_text, parse, same_meaning
from protocol.errors import Rejected
from protocol.source import Source, ancestry, split_lines

_UNUSUAL = re.compile(rb"[\r\f\v\0]")  # Python and a diff count such lines differently
_TEXT_BLOCK = re.compile(rb"[A-Za-z]{0,2}(\"\"\"|''')")
_Place = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Edit:
    """A replacement by `text` between two places of a file, each (line from 0, byte)."""

    start: _Place
    end: _Place
    text: bytes = b""


def strip_prose(source: Source, base: Source) -> Source | Rejected:
    """Return `source` without the prose in lines that `base` does not have.

    The operation is idempotent. In files that are not Python, prose and content cannot be
    distinguished. They stay as they are and are flagged (`agent.source.capabilities`).
    """
    known = dict(base.files)
    stripped: dict[str, bytes] = {}
    for path, data in source.files:
        before = known.get(path, b"")
        if data == before or not path.endswith(".py"):
            stripped[path] = data
            continue
        result = _strip_file(data, before)
        if isinstance(result, Rejected):
            return Rejected(f"{path}: {result.reason}")
        stripped[path] = result
    return Source.of(stripped)


def _strip_file(data: bytes, base: bytes) -> bytes | Rejected:
    if _UNUSUAL.search(data):
        return Rejected("it contains control characters that Python reads as line ends")
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    except SyntaxError as fault:
        return Rejected(f"not text that Python reads: {fault}")
    if encoding != "utf-8":
        return Rejected(f"it declares the encoding {encoding}")
    stripped = data
    while True:
        # The shorter text may align with the base differently, so repeat until nothing changes.
        result = _strip_once(stripped, base)
        if isinstance(result, Rejected):
            return result
        if result == stripped:
            break
        stripped = result
    if not same_meaning(stripped, data):
        return Rejected("its meaning changes without its comments and unused strings")
    return stripped


def _strip_once(data: bytes, base: bytes) -> bytes | Rejected:
    module = parse(data)
    if module is None:
        return Rejected("not Python that can be parsed")
    lines = split_lines(data)
    origins = ancestry(split_lines(base), lines)
    added = {row for row, origin in enumerate(origins) if origin is None}
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(data.decode()).readline))
    except (tokenize.TokenError, SyntaxError) as fault:
        return Rejected(f"not Python that can be read token by token: {fault}")
    edits = list(_text_edits(module, lines, added))
    inside = [(edit.start, edit.end) for edit in edits]
    edits += [
        edit
        for edit in _comment_edits(tokens, lines, added)
        if not any(start < edit.end and edit.start < end for start, end in inside)
    ]
    return _apply(lines, edits)


def _comment_edits(
    tokens: Iterable[tokenize.TokenInfo], lines: list[bytes], added: set[int]
) -> Iterator[_Edit]:
    for token in tokens:
        row = token.start[0] - 1
        if token.type != tokenize.COMMENT or row not in added:
            continue
        before = lines[row].decode()[: token.start[1]].rstrip(" \t").encode()
        follows_backslash = row > 0 and lines[row - 1].endswith(b"\\\n")
        if before or follows_backslash:
            yield _Edit(start=(row, len(before)), end=(row, len(lines[row].rstrip(b"\n"))))
        else:
            yield _Edit(start=(row, 0), end=(row + 1, 0))


def _text_edits(module: ast.Module, lines: list[bytes], added: set[int]) -> Iterator[_Edit]:
    """Yield the edits that remove docstrings and unused strings with an added line."""
    for node in ast.walk(module):
        for block in blocks(node):
            needless = [one for one in block if is_unused_text(one) and _rows(one) & added]
            is_all = len(needless) == len(block) and not isinstance(node, ast.Module)
            for position, statement in enumerate(needless):
                if kept := _rows(statement) - added:
                    yield from _partial_edits(statement, lines, kept)
                else:
                    yield _removal(statement, lines, is_needed=is_all and position == 0)


def _rows(statement: ast.stmt) -> set[int]:
    return set(range(statement.lineno - 1, _end(statement)[0] + 1))


def _start(statement: ast.stmt) -> _Place:
    return statement.lineno - 1, statement.col_offset


def _end(statement: ast.stmt) -> _Place:
    return (statement.end_lineno or statement.lineno) - 1, statement.end_col_offset or 0


def _removal(statement: ast.stmt, lines: list[bytes], *, is_needed: bool) -> _Edit:
    """Return the edit that drops a statement's lines, or puts `pass` in its place if needed."""
    start, end = _start(statement), _end(statement)
    before, after = lines[start[0]][: start[1]], lines[end[0]][end[1] :].strip()
    follows_backslash = start[0] > 0 and lines[start[0] - 1].endswith(b"\\\n")
    is_alone = not before.strip() and (not after or after.startswith(b"#"))
    if is_alone and not is_needed and not follows_backslash:
        return _Edit(start=(start[0], 0), end=(end[0] + 1, 0))
    return _Edit(start=start, end=end, text=b"pass")


def _partial_edits(statement: ast.stmt, lines: list[bytes], kept: set[int]) -> Iterator[_Edit]:
    """Yield the edits that remove the added lines from a text with lines of the base.

    A text in triple quotes keeps its quotes and the base's lines. Any other is removed whole.
    """
    start, end = _start(statement), _end(statement)
    quotes = _TEXT_BLOCK.match(lines[start[0]][start[1] :])
    value = statement.value if isinstance(statement, ast.Expr) else None
    is_one_literal = isinstance(value, ast.Constant) and value.col_offset == start[1]
    inner = b"".join(lines[start[0] : end[0] + 1])
    if (
        quotes is None
        or not is_one_literal
        or inner[start[1] :].count(quotes[1]) != 2
        or not lines[end[0]][: end[1]].endswith(quotes[1])
    ):
        yield _Edit(start=start, end=end, text=b"pass")
        return
    for row in range(start[0], end[0] + 1):
        if row in kept:
            continue
        if row == start[0]:
            opened = start[1] + quotes.end()
            yield _Edit(start=(row, opened), end=(row, len(lines[row].rstrip(b"\n"))))
        elif row == end[0]:
            yield _Edit(start=(row, 0), end=(row, end[1] - len(quotes[1])))
        else:
            yield _Edit(start=(row, 0), end=(row + 1, 0))


def _apply(lines: list[bytes], edits: list[_Edit]) -> bytes:
    starts = [0, *accumulate(map(len, lines))]

    def offset(place: _Place) -> int:
        return min(starts[min(place[0], len(lines))] + place[1], starts[-1])

    data = b"".join(lines)
    pieces: list[bytes] = []
    at = 0
    for edit in sorted(edits, key=lambda edit: edit.start):
        pieces += [data[at : offset(edit.start)], edit.text]
        at = offset(edit.end)
    return b"".join([*pieces, data[at:]])
