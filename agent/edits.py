"""Edits as search and replace: how a proposal, a move or a peer's change meets another base.

An edit applies where its search text occurs exactly once, and all edits of a set apply to the
text as it was before any of them, so that their order does not matter. Anything else is None:
a change that does not fit is not forced.
"""

from collections.abc import Sequence
from itertools import pairwise

from protocol.ideas import Edit
from protocol.source import Source


def reapply(edits: Sequence[Edit], onto: Source) -> Source | None:
    """Return `onto` with every edit made, or None where one does not match exactly once."""
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
    """Say whether a change that leaves its own search text behind is there already.

    Such a change, an insertion beside an anchor, would otherwise be made again and again.
    """
    texts = {path: data.decode("utf-8", "replace") for path, data in source.files}
    return any(
        edit.search in edit.replace and edit.replace in texts.get(edit.path, "") for edit in edits
    )


def line_edit(path: str, text: str, start: int, end: int, replacement: str) -> Edit:
    """Return the edit that puts `replacement` for text[start:end].

    Its search is the whole line or lines, with as many neighbours as make it unique.
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
    """Say whether it is there once, overlapping occurrences counted."""
    first = text.find(search)
    return bool(search) and first >= 0 and text.find(search, first + 1) < 0


def _line_start(text: str, at: int) -> int:
    return text.rfind("\n", 0, at) + 1


def _line_end(text: str, at: int) -> int:
    """Return the end of the line that holds `at`, its newline included."""
    end = text.find("\n", at)
    return len(text) if end < 0 else end + 1
