"""Two fenced blocks with a label before each: "Replace this:" and "with:", "Before:" and "After:".

Only a label that says nothing else counts, and only both of them right after one another.
"""

import re
from typing import Final

from agent.model.answers.draft import Slip, Style
from agent.model.answers.names import path_in
from agent.model.answers.reading import Fence, Reading

STYLE: Style = "pairs of fenced blocks"
_FILLER = (
    "this|these|the|that|it|them|following|code|block|blocks|line|lines|version|text|section|part"
    "|snippet|function|definition|current|old|original|existing|new|updated"
)
_PLACE = r"(?: (?:in|from|of) [`\"']?[\w./+-]{1,200}[`\"']?)?"
_OLD = re.compile(
    r"(?:please )?(?:replace|change(?: from)?|find|original|old|before|current|existing|from"
    r"|search(?: for)?)"
    rf"(?: (?:{_FILLER}))*{_PLACE}"
)
_NEW = re.compile(
    r"(?:and )?(?:(?:replace|change|update|substitute)(?: (?:this|that|it|them|these))? )?"
    rf"(?:with|to|by|into|new|updated|after|replacement|replace|becomes)(?: (?:{_FILLER}))*{_PLACE}"
)
_DEMANDS = re.compile(r"(?:please )?(?:replace|change|find|search|remove)\b")
_DECORATION: Final = " \t*_#>:`"
_MAX_LABEL: Final = 120


def read(reading: Reading, fence: Fence, label: str) -> Slip | bool:
    """Take in a pair whose first fence is given, and say whether it is one.

    `label` is the last line before it that has something on it.
    """
    if not _is(_OLD, label):
        return False
    row = _after_blank(reading, fence.after)
    begins = _after_blank(reading, row + 1) if row is not None else None
    second = reading.fence_at(begins) if begins is not None else None
    is_pair = row is not None and _is(_NEW, reading.lines[row])
    if row is None or not is_pair or second is None or fence.is_open or second.is_open:
        return _unpaired(label) if _DEMANDS.match(label.strip(_DECORATION).lower()) else False
    path = next(
        (
            found
            for word in (*label.split(), *reading.lines[row].split())
            if (found := path_in(word, reading.editable))
        ),
        "",
    )
    reading.at = second.after
    return reading.add(STYLE, reading.body(fence), reading.body(second), path=path) or True


def is_label(line: str) -> bool:
    """Say whether a line is one of a pair's labels."""
    return _is(_OLD, line) or _is(_NEW, line)


def _unpaired(label: str) -> Slip:
    return Slip(
        message=f"`{label.strip()}` is not followed by two fenced blocks, the second one below a "
        "line `with:`."
    )


def _is(pattern: re.Pattern[str], line: str) -> bool:
    bare = line.strip(_DECORATION) if len(line) <= _MAX_LABEL else ""
    return pattern.fullmatch(bare.lower()) is not None


def _after_blank(reading: Reading, row: int) -> int | None:
    """Return the first line from `row` on that is not empty."""
    rows = range(row, min(row + 4, len(reading.lines)))
    return next((at for at in rows if reading.lines[at].strip()), None)
