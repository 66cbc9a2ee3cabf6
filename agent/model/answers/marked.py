"""SEARCH/REPLACE blocks between marks, in the formats of aider, Cline and Roo Code.

    <<<<<<< SEARCH        also ORIGINAL, HEAD, or `------- SEARCH`
    =======
    >>>>>>> REPLACE       also UPDATED, or `+++++++ REPLACE`

The text between the marks is used unchanged.
"""

import re
from collections.abc import Sequence

from agent.model.answers.draft import Slip, Style
from agent.model.answers.names import path_in
from agent.model.answers.reading import AnswerReader

STYLE: Style = "SEARCH/REPLACE blocks"
_OPENS = re.compile(
    r"\s{0,8}(?:<{5,9} ?(?:SEARCH|ORIGINAL|HEAD)|-{5,9} ?SEARCH)\b(.{0,200})", re.IGNORECASE
)
_IS_HEAD = re.compile(r"\s{0,8}<{5,9} ?HEAD\b", re.IGNORECASE)
_DIVIDER = re.compile(r"\s{0,8}={5,9}\s{0,8}")
_CLOSES = re.compile(
    r"\s{0,8}(?:>{5,9} ?(?:REPLACE|UPDATED)|\+{5,9} ?REPLACE)\b.{0,80}|\s{0,8}>{5,9}\s{0,8}",
    re.IGNORECASE,
)
_CLOSES_HEAD = re.compile(r"\s{0,8}>{5,9}( .{0,80})?")  # a branch name may follow
_LINE_NUMBERS = re.compile(r":(?:start|end)_line:\s?\d{1,7}\s*")  # Roo Code's; may be wrong
_FENCE = re.compile(r"[ \t]{0,12}(?:`{3,9}|~{3,9})[\w+.-]{0,20}\s*")


def begins(lines: Sequence[str], at: int) -> bool:
    """Return whether a line opens a block."""
    return _OPENS.fullmatch(lines[at]) is not None


def is_open(lines: Sequence[str]) -> bool:
    """Return whether the lines end inside a block."""
    is_within = False
    for line in lines:
        is_within = _OPENS.fullmatch(line) is not None or (
            is_within and _CLOSES.fullmatch(line) is None
        )
    return is_within


def read(reading: AnswerReader) -> Slip | None:
    """Read the block that begins at the current line; return its mistake, if any."""
    lines, start, number = reading.lines, reading.at, reading.count(STYLE) + 1
    closes = _CLOSES_HEAD if _IS_HEAD.match(reading.line) else _CLOSES
    end = next((at for at in range(start + 1, len(lines)) if closes.fullmatch(lines[at])), None)
    if end is None:
        return Slip(message=f"Block {number} has no line `>>>>>>> REPLACE`.")
    body = lines[start + 1 : end]
    if any(map(_OPENS.fullmatch, body)):
        return Slip(message=f"Block {number} has no line `>>>>>>> REPLACE` before the next one.")
    dividers = [at for at, line in enumerate(body) if _DIVIDER.fullmatch(line)]
    if len(dividers) != 1:
        return Slip(
            message=f"Block {number} has {len(dividers) or 'no'} lines `=======`: it needs exactly "
            "one. Leave lines of the file that look like `=======` out of the block."
        )
    opened = _OPENS.fullmatch(reading.line)
    search, replace = _unfenced(_unnumbered(body[: dividers[0]]), body[dividers[0] + 1 :])
    path = path_in(opened[1], reading.editable) if opened is not None else ""
    reading.at = end + 1
    return reading.add(STYLE, search, replace, path=path)


def _unfenced(search: Sequence[str], replace: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Return SEARCH and REPLACE without the fences around them, if both are fenced."""
    if all(
        len(side) > 1 and _FENCE.fullmatch(side[0]) and _FENCE.fullmatch(side[-1])
        for side in (search, replace)
    ):
        return search[1:-1], replace[1:-1]
    return search, replace


def _unnumbered(search: Sequence[str]) -> Sequence[str]:
    count = 0
    while count < len(search) and _LINE_NUMBERS.fullmatch(search[count]):
        count += 1
    if count and count < len(search) and search[count].strip() == "-------":
        count += 1
    return search[count:]
