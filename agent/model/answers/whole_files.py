"""Detection of texts in an answer that are a whole new version of a file, not a snippet.

A whole version contains most of the file's unindented lines (imports, names, statements), including
some of the first and some of the last. In doubt a text counts as a snippet, because a snippet in
place of the whole file would delete the rest.
"""

import re
from collections.abc import Sequence
from typing import Final

from agent.model.answers.draft import Slip, WholeFile, left_out
from agent.model.answers.names import path_in_comment

_HEAD = re.compile(
    r"(?:(?:async|export|pub|static|def|class|fn|func|import|from|struct) )*([\w.]+)"
)
_LEAST_HEADS: Final = 0.6  # fraction of the file's unindented lines
_LONG_QUOTES: Final = ('"""', "'''")
_ENDS: Final = 3  # unindented lines at either end; a version contains at least one of them
_LEAST_SHARE: Final = 4  # a text shorter than 1/4 of the file is a snippet


def whole_file(path: str, given: Sequence[WholeFile], before: str) -> str | Slip | None:
    """Return the one new version of a file among the given texts, None if all are snippets.

    Unchanged copies of the file are ignored. The file's trailing newlines stay as they are,
    because a fence does not show them.
    """
    end = before[len(before.rstrip("\n")) :]
    texts = [_unlabelled(one.text, path, before).rstrip("\n") + end for one in given]
    wholes = {text.rstrip(): text for text in texts if is_whole(text, before)}
    fresh = [text for bare, text in wholes.items() if bare != before.rstrip()]
    if len(fresh) > 1:
        return Slip(
            message=f"Your answer has {len(fresh)} whole versions of {path}, and they differ: "
            "give one."
        )
    if fresh:
        return left_out(fresh[0].split("\n"), known=before.split("\n")) or fresh[0]
    if wholes or all(text.strip() in before for text in texts):
        return before  # the answer quotes the file
    return None


def no_whole_file(path: str, texts: Sequence[str], before: str) -> Slip:
    """Return the slip for texts that may be snippets of a file."""
    known = before.split("\n")
    for text in texts:
        slip = left_out(text.split("\n"), known=known)
        if slip is not None:
            return slip
    rows = max(texts, key=len).count("\n")
    return Slip(
        message=f"The block has {rows} lines and {path} has {before.count(chr(10))}, so it may be "
        "a part of the file: give the whole file, or use SEARCH/REPLACE blocks."
    )


def is_whole(text: str, before: str) -> bool:
    """Return whether a text is a version of the whole file."""
    if _LEAST_SHARE * len(text.split("\n")) < len(before.split("\n")):
        return False
    if any(text.count(mark) % 2 != before.count(mark) % 2 for mark in _LONG_QUOTES):
        return False  # a fence inside a string of the file ended the text
    old = _heads(before) or [line for line in before.split("\n") if line.strip()]
    new = {*_heads(text), *text.split("\n")}
    kept = new.intersection(old)
    has_both_ends = kept.intersection(old[:_ENDS]) and kept.intersection(old[-_ENDS:])
    return not old or (len(kept) >= _LEAST_HEADS * len(set(old)) and bool(has_both_ends))


def _heads(text: str) -> list[str]:
    """Return the first name on each unindented line, in order."""
    return [head[1] for line in text.split("\n") if (head := _HEAD.match(line)) is not None]


def _unlabelled(text: str, path: str, before: str) -> str:
    """Return a text without a comment on its first line that only names the file."""
    first, _, rest = text.partition("\n")
    named = path_in_comment(first)
    is_label = named == path or path.endswith(f"/{named}") or named.endswith(f"/{path}")
    return rest if named and is_label and not before.startswith(f"{first}\n") else text
