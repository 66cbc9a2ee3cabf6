"""A report as Markdown: quoted text in code spans, where nothing of it is markup.

The plot is drawn in characters here, several experiments to a column where there are many; each
has a mark of its own on the page.
"""

import re
from typing import Final

from node.report.blocks import (
    Block,
    Bullets,
    Document,
    Paragraph,
    Piece,
    Plot,
    Quoted,
    Table,
    Words,
)
from node.terminal.terminal import plain

_SHOWN: Final = 20  # of a list
_PLOT_WIDTH = 78
_PLOT_HEIGHT = 12


def as_markdown(document: Document) -> str:
    """Return the document as text that ends with a newline."""
    parts = [f"# {document.title}"]
    for section in document.sections:
        parts.append(f"{'#' * section.level} {section.title}")
        parts += [_block(block) for block in section.blocks]
    return "\n\n".join(parts) + "\n"


def _block(block: Block) -> str:
    match block:
        case Paragraph():
            return _words(block.words)
        case Bullets():
            return _bullets(block)
        case Table():
            return _table(block)
        case Plot():
            return _plot(block)


def _bullets(block: Bullets) -> str:
    lines = [f"- {_words(item)}" for item in block.items[:_SHOWN]]
    if (more := len(block.items) - _SHOWN) > 0:
        lines.append(f"- and {more} more: `arnode report --json` has all of them")
    return "\n".join(lines)


def _table(block: Table) -> str:
    rule = ["---" if column < block.texts else "--:" for column in range(len(block.head))]
    rows = [[_words(cell, in_table=True) for cell in row] for row in block.rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (list(block.head), rule, *rows))


def _plot(block: Plot) -> str:
    from node.views.staircase import legend, staircase

    history = [point.column for point in block.points]
    drawn = staircase(history, width=_PLOT_WIDTH, height=_PLOT_HEIGHT).plain
    lines = [line.rstrip() for line in (*drawn.split("\n"), legend().plain)]
    return "\n".join(["```text", *lines, "```"])


def _words(words: Words, *, in_table: bool = False) -> str:
    return "".join(_piece(piece, in_table=in_table) for piece in words)


def _piece(piece: Piece, *, in_table: bool) -> str:
    return code_span(piece.text, in_table=in_table) if isinstance(piece, Quoted) else piece


def code_span(text: str, *, in_table: bool = False) -> str:
    """Return a code span that nothing in the text can end (CommonMark 0.31, 6.1).

    In a table a bar would end the cell even so, and a backslash before it that it is escaped.
    """
    shown = plain(" ".join(text.split()))
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * (longest + 1)
    room = " " if shown[:1] in "` " or shown[-1:] in "` " else ""
    if in_table:
        shown = shown.replace("|", "¦")
    return f"{fence}{room}{shown}{room}{fence}"


def fenced(text: str, language: str = "text") -> str:
    """Return foreign lines as a code block that nothing in them can end (CommonMark 0.31, 4.5)."""
    shown = plain(text.rstrip("\n"), lines=True)
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{shown}\n{fence}"
