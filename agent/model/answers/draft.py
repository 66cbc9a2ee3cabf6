"""The parsed form of an answer in any format, and the reason an answer cannot be used.

Every format is converted to blocks (lines to find and their replacement) or to whole files.
This module knows neither the formats' marks nor the source that will be changed.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from protocol.hygiene import MAX_FILE_BYTES, MAX_LINES

MAX_ANSWER: Final = 2 * MAX_FILE_BYTES
MAX_ANSWER_LINES: Final = 4 * MAX_LINES
MAX_BLOCKS: Final = 64
Style: TypeAlias = Literal["SEARCH/REPLACE blocks", "a diff", "a patch"]
# Placeholders such as `# ... existing code`: the code that they stand for would be lost.
_LEFT_OUT = re.compile(
    r"\s*(?:#|//)?\s*(?:\.{3}|…).{0,30}\b(?:existing|rest|same|unchanged|remaining|other code)\b.*"
    r"|\s*(?:#|//).{0,30}\b(?:existing code|rest of (?:the |this )?(?:code|file|function|class|"
    r"method|script)|code (?:is |remains |stays )?(?:unchanged|the same))\b.*"
    r"|\s*(?:#|//)\s*\(?unchanged\)?\W*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EditBlock:
    """Lines of a file and the lines that replace them.

    `number` counts from 1 within its style. `anchors` are lines before the place, the outermost
    first. `is_at_end`: the last line of `search` is the last of the file, where a final newline
    counts as an empty last line.
    """

    style: Style
    number: int
    path: str
    search: tuple[str, ...]
    replace: tuple[str, ...]
    anchors: tuple[str, ...] = ()
    is_at_end: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeFile:
    """Fenced code that may be a whole file or only a snippet of `path`."""

    path: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedAnswer:
    """The contents of an answer: its title, its reason, and all its changes, in any formats."""

    title: str
    why: str
    blocks: tuple[EditBlock, ...] = ()
    files: tuple[WholeFile, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Slip:
    """The reason an answer cannot be used, in a message for the model.

    `source_lines` are shown with it unchanged; `quoted` are texts to be put in a fence.
    `is_repeated`: the answer was valid, but the idea is not new.
    """

    message: str
    source_lines: tuple[str, ...] = ()
    quoted: tuple[str, ...] = ()
    is_repeated: bool = False


def left_out(lines: Iterable[str], *, known: Sequence[str] = ()) -> Slip | None:
    """Return a slip if a line is a placeholder for missing code; `known` lines are real code."""
    there = set(known)
    for line in lines:
        if len(line) < 200 and _LEFT_OUT.fullmatch(line) and line not in there:
            return Slip(
                message=f"`{line.strip()}` is a placeholder: nothing is filled in for it. Give "
                "all the lines, or choose smaller blocks."
            )
    return None
