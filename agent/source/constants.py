"""The constants that a diff changes, read as lines of text, so that untrusted source is not parsed.

Constants are names in capitals, in any language. A hyperparameter is one of them.
"""

import re
from typing import Final

from agent.source.hunks import is_changed
from protocol.codecs import plain

_VALUE_CHARACTERS: Final = 250  # the longest parameter value in older versions of MLflow
# A line of a diff that sets a constant, in any language: `LR = 0.1  # why`, `const LR = 1;`.
_CONSTANT: Final = re.compile(
    r"(?:\w+ +){0,3}([A-Z][A-Z0-9_]{0,63})(?:: *[\w<>\[\]]+)? *= *(\S.*?);?(?: +(?:#|//).*)?"
)
_LINE_CHARACTERS: Final = 400  # a longer line of a diff is ignored: its value is not readable
_NUMBER: Final = re.compile(r"[+-]?(?:\d[\d_]*\.?[\d_]*|\.\d+)(?:[eE][+-]?\d{1,3})?")
_POWER: Final = re.compile(r"2 ?\*\* ?(\d{1,2})")


def changed_constants(diff: str) -> dict[str, tuple[str, str]]:
    """Return the constants in capitals that a diff changes, with their old and new values.

    A name that is removed or added more than once is omitted, since its values are ambiguous.
    """
    removed: dict[str, list[str]] = {}
    added: dict[str, list[str]] = {}
    for row in diff.splitlines():
        if not is_changed(row) or len(row) > _LINE_CHARACTERS:
            continue
        if found := _CONSTANT.fullmatch(row[1:].strip()):
            side = removed if row[0] == "-" else added
            side.setdefault(found[1], []).append(plain(found[2])[:_VALUE_CHARACTERS])
    return {
        name: (removed[name][0], new[0])
        for name, new in sorted(added.items())
        if len(new) == 1 and len(removed.get(name, ())) == 1 and removed[name] != new
    }


def number_in(value: str) -> float | None:
    """Return the number that a constant's text denotes, such as `1e-3` or `2**19`; else None."""
    if power := _POWER.fullmatch(value):
        return float(2 ** int(power[1]))
    return float(value.replace("_", "")) if _NUMBER.fullmatch(value) else None
