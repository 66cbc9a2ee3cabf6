"""The Markdown that reports and pull requests are written in.

Text is this program's own words; titles, reasons, names and ids, which are somebody's or nobody's
words, stand in code, where nothing of them is markup.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from node.terminal.terminal import plain

_HARMLESS: Final = re.compile(r"[A-Za-z0-9%/ ]*")


def bullets(items: Sequence[str], shown: int | None) -> str:
    """Return a list; of a longer one the first `shown` items, and how many there are more."""
    lines = [f"- {item}" for item in items[:shown]]
    if (more := len(items) - len(lines)) > 0:
        lines.append(f"- and {more} more: `arnode report --json` has all of them")
    return "\n".join(lines)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, texts: int = 1) -> str:
    """Return rows as wide as their head; all columns after the first `texts` are figures.

    A bar would end a cell even in code, and a backslash before it say that it is escaped.
    """
    rule = ["---" if column < texts else "--:" for column in range(len(head))]
    cells = ([cell.replace("|", "¦") for cell in row] for row in rows)
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *cells))


def words(text: str) -> str:
    """Return a foreign word or two as they are if nothing of them can be markup, else in code."""
    return text if _HARMLESS.fullmatch(text) else code_span(text)


def code_span(text: str) -> str:
    """Return a code span that nothing in the text can end (CommonMark 0.31, 6.1)."""
    shown = plain(" ".join(text.split()))
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * (longest + 1)
    room = " " if shown[:1] in "` " or shown[-1:] in "` " else ""
    return f"{fence}{room}{shown}{room}{fence}"


def fenced(text: str, language: str = "text") -> str:
    """Return foreign lines as a code block that nothing in them can end (CommonMark 0.31, 4.5)."""
    shown = plain(text.rstrip("\n"), lines=True)
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{shown}\n{fence}"
