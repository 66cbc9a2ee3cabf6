"""Rendering of blocks as Markdown (CommonMark 0.31, with GitHub's tables).

Text by arnode is unchanged. A quoted span becomes a code span, so none of it is markup.
"""

import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from node.reporting.blocks import (
    Block,
    BulletList,
    FileLink,
    Heading,
    Paragraph,
    Plot,
    Quoted,
    QuotedLines,
    Span,
    Styled,
    TableBlock,
    Text,
    quoted,
)


def markdown_of(blocks: Iterable[Block], *, shown: int | None = None) -> str:
    """Return blocks as text that ends with a newline, with `shown` items of a list (None: all)."""
    return "\n\n".join(_block(block, shown) for block in blocks) + "\n"


def code_span(words: Quoted) -> str:
    """Return a code span that the quoted text cannot end (CommonMark 0.31, 6.1)."""
    line = words.text
    fence = "`" * (_longest_run(line) + 1)
    room = " " if line[:1] in "` " or line[-1:] in "` " else ""
    return f"{fence}{room}{line}{room}{fence}"


def _block(block: Block, shown: int | None) -> str:
    match block:
        case Heading():
            return f"{'#' * block.level} {_text(block.text)}"
        case Paragraph():
            return _text(block.text)
        case BulletList():
            return _list(block.items, shown)
        case TableBlock():
            return _table(block)
        case Plot():
            return _plot(block)
        case QuotedLines():
            return _fenced(block)


def _text(spans: Text) -> str:
    return "".join(map(_span, spans))


def _span(span: Span) -> str:
    match span:
        case str():
            return span
        case Quoted():
            return code_span(span)
        case Styled():
            return span.text
        case FileLink():
            return f"[{code_span(quoted(span.text))}]({quote(span.href)})"


def _list(items: Sequence[Text], shown: int | None) -> str:
    lines = [f"- {_text(item)}" for item in items[:shown]]
    if (more := len(items) - len(lines)) > 0:
        lines.append(f"- and {more} more: `arnode report --json` has all of them")
    return "\n".join(lines)


def _table(block: TableBlock) -> str:
    """Return a table.

    Every `|` in a cell is replaced. It would end the cell even inside a code span, and escaping it
    is ambiguous after a backslash.
    """
    head = [_cell(column.title) for column in block.columns]
    rule = ["--:" if column.figure else "---" for column in block.columns]
    rows = [list(map(_cell, row)) for row in block.rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def _cell(spans: Text) -> str:
    return _text(spans).replace("|", "¦")


def _plot(plot: Plot) -> str:
    rows = [row.rstrip() for row in plot.drawn().plain.split("\n")]
    return "\n".join(["```text", *rows, "```"])


def _fenced(block: QuotedLines) -> str:
    """Return a code block that the quoted text cannot end (CommonMark 0.31, 4.5)."""
    fence = "`" * max(3, _longest_run(block.text) + 1)
    return f"{fence}{block.language}\n{block.text}\n{fence}"


def _longest_run(words: str) -> int:
    return max((len(run) for run in re.findall("`+", words)), default=0)
