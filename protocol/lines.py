"""Lines of a file, and which of them come from an earlier version of it.

A line ends at LF only, as in a diff: `splitlines` would also split at CR and form feeds.
"""

import difflib
from collections.abc import Sequence


def split_lines(data: bytes) -> list[bytes]:
    """Return the lines with their ends; the last one may lack its own."""
    *whole, rest = data.split(b"\n")
    return [line + b"\n" for line in whole] + ([rest] if rest else [])


def ancestry(old: Sequence[bytes], new: Sequence[bytes]) -> list[int | None]:
    """Return for each line of `new` the index of the line of `old` that it is, None if added.

    The same alignment as that of a patch's unified diff.
    """
    origins: list[int | None] = [None] * len(new)
    for block in difflib.SequenceMatcher(None, old, new).get_matching_blocks():
        for offset in range(block.size):
            origins[block.b + offset] = block.a + offset
    return origins
