"""Words that a task does not want in its sources. Advisory: what they mean can be said otherwise.

Words and not patterns: a stranger's pattern could look at a stranger's file for ever.
"""

import re
from collections.abc import Sequence

from protocol.errors import Rejected
from protocol.source import Source


def check_words(source: Source, words: Sequence[str]) -> Rejected | None:
    """Return which file holds one of the words, and where, None if none does.

    A word counts where it stands whole: `eval` is not in `evaluate`. Files are UTF-8.
    """
    if not words:
        return None
    pattern = re.compile("|".join(map(_whole, words)))
    for path, data in source.files:
        text = data.decode()
        if (found := pattern.search(text)) is not None:
            line = text.count("\n", 0, found.start()) + 1
            return Rejected(f"{path}: line {line} holds {found[0]!r}, which the task forbids")
    return None


def _whole(word: str) -> str:
    before = r"(?<!\w)" if word[0].isalnum() or word[0] == "_" else ""
    behind = r"(?!\w)" if word[-1].isalnum() or word[-1] == "_" else ""
    return f"{before}{re.escape(word)}{behind}"
