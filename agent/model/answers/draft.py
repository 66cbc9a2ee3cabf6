"""The parsed form of an answer in any format, and the reason an answer cannot be used.

Every format is converted to blocks (lines to find and their replacement) or to whole files.
This module depends neither on the formats' marks nor on the source that will be changed.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from agent.visit.trace import Refusal
from protocol.hygiene import MAX_FILE_BYTES, MAX_LINES

MAX_ANSWER: Final = 2 * MAX_FILE_BYTES
MAX_ANSWER_LINES: Final = 4 * MAX_LINES
MAX_BLOCKS: Final = 64
Style: TypeAlias = Literal["SEARCH/REPLACE blocks", "a diff", "a patch"]
# Placeholders such as `# ... existing code`. Applied as they are, they would delete code.
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

    `style` is the block's format. `number` counts the answer's blocks in that format from 1.
    `anchors` are lines above the block, the outermost first. `is_at_end`: the last line of `search`
    is the file's last line; a final newline counts as an empty last line.
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
    """The title, the reason and all changes in an answer."""

    title: str
    why: str
    blocks: tuple[EditBlock, ...] = ()
    files: tuple[WholeFile, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Slip:
    """The reason an answer cannot be used, in a message for the model.

    The model sees the message, then `source_lines` unchanged, then `quoted` in a fence.
    `refusal` is the kind of reason.
    """

    message: str
    source_lines: tuple[str, ...] = ()
    quoted: tuple[str, ...] = ()
    refusal: Refusal = "unreadable"

    @property
    def is_repeated(self) -> bool:
        """True if the answer was valid, but the idea is not new."""
        return self.refusal == "tried"


def left_out(lines: Iterable[str], *, known: Sequence[str] = ()) -> Slip | None:
    """Return a slip if a line that is not in `known` is a placeholder for missing code."""
    there = set(known)
    for line in lines:
        if len(line) < 200 and _LEFT_OUT.fullmatch(line) and line not in there:
            return Slip(
                message=f"`{line.strip()}` is a placeholder, which nothing fills in. Give all the "
                "lines, or choose smaller blocks."
            )
    return None
