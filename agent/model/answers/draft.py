"""What an answer wants, whatever it was written in, or why it is of no use.

Every format ends here: as a block, lines to find and lines in their place, or as a whole file.
Nothing here knows of a format's marks or of the source that is to be changed.
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
# `# ... existing code`: what stands there would be lost.
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

    `number` counts from 1 within its style. `anchors` are lines that stand before the place, the
    outermost first. `is_at_end`: the last line of `search` is the file's, the empty one after a
    last line's end included.
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
    """Code in a fence that is perhaps a whole file, or as well a snippet of `path`."""

    path: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedAnswer:
    """What a model wants: its words, and all changes that its answer has, in whatever formats."""

    title: str
    why: str
    blocks: tuple[EditBlock, ...] = ()
    files: tuple[WholeFile, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Slip:
    """Why an answer is of no use, in words for the model.

    `source_lines` are shown with it as they are, `quoted` are words to be fenced. `is_repeated`:
    the answer was sound, but the idea is not new.
    """

    message: str
    source_lines: tuple[str, ...] = ()
    quoted: tuple[str, ...] = ()
    is_repeated: bool = False


def left_out(lines: Iterable[str], *, known: Sequence[str] = ()) -> Slip | None:
    """Return a slip where a line stands for lines that are not given; `known` ones are code."""
    there = set(known)
    for line in lines:
        if len(line) < 200 and _LEFT_OUT.fullmatch(line) and line not in there:
            return Slip(
                message=f"`{line.strip()}` is a placeholder: nothing is filled in for it. Give "
                "all the lines, or choose smaller blocks."
            )
    return None
