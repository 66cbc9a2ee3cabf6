"""Rendering of blocks for a terminal, with Rich. No text in them can control the terminal.

Untrusted text is in backticks, as in Markdown, so that it cannot pass for text by arnode. Text
that fills a whole table cell gets no backticks.
"""

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table as RichTable
from rich.text import Text as RichText

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
)
from node.reporting.markdown import code_span
from protocol.codecs import plain


def print_blocks(
    console: Console, *blocks: Block, shown: int | None = None, is_cut: bool = True
) -> None:
    """Print blocks in order, with `shown` items of a list (None: all).

    A heading below the first level gets a blank line before it. A table wider than the terminal
    has its cells cut if `is_cut`; otherwise it is printed row by row, complete.
    """
    for block in blocks:
        if isinstance(block, Heading) and block.level > 1:
            console.print()
        for part in _rendered(block, shown, width=None if is_cut else console.width):
            console.print(part)


def _rendered(block: Block, shown: int | None, *, width: int | None) -> Iterable[RenderableType]:
    match block:
        case Heading():
            return [_text(block.text, "bold")]
        case Paragraph():
            return [_text(block.text, "dim" if block.soft else "")]
        case BulletList():
            return _list(block.items, shown)
        case TableBlock():
            is_whole = width is None or _needed_width(block) <= width
            return [_table(block)] if is_whole else _by_rows(block)
        case Plot():
            return [block.drawn()]
        case QuotedLines():
            return [RichText(block.text)]


def _list(items: Sequence[Text], shown: int | None) -> Iterable[RichText]:
    for item in items[:shown]:
        yield RichText.assemble("- ", _text(item))
    if (more := len(items) - len(items[:shown])) > 0:
        yield RichText(f"- and {more} more: `arnode report --json` has all of them")


def _text(spans: Text, style: str = "") -> RichText:
    return RichText.assemble(*map(_span, spans), style=style)


def _span(span: Span) -> str | tuple[str, str]:
    match span:
        case str():
            return plain(span, lines=True)
        case Styled():
            return plain(span.text), span.style
        case Quoted():
            return code_span(span)
        case FileLink():
            return plain(span.text)


def _cell(spans: Text) -> RichText:
    """Return a cell. Untrusted text that fills the whole cell gets no backticks."""
    match spans:
        case (Quoted(text=words),) | (FileLink(text=words),):
            return RichText(plain(words))
    return _text(spans)


def _needed_width(block: TableBlock) -> int:
    """Return a table's least width; a column that wraps is as wide as its longest word."""
    columns = zip(block.columns, zip(*block.rows, strict=True), strict=True) if block.rows else ()
    needed = len(block.columns) - 1
    for column, cells in columns:
        shown = [_cell(column.title).plain, *(_cell(cell).plain for cell in cells)]
        parts = [word for text in shown for word in text.split()] if column.wraps else shown
        needed += max(map(cell_len, parts), default=0)
    return needed


def _by_rows(block: TableBlock) -> Iterable[RichText]:
    """Yield a table row by row, with one line of text per non-empty cell."""
    for number, row in enumerate(block.rows):
        if number:
            yield RichText("")
        for column, cell in zip(block.columns, row, strict=True):
            if (words := _cell(cell)).plain:
                title = RichText.assemble(column.group and f"{column.group}, ", _cell(column.title))
                title.stylize("bold")
                yield RichText.assemble(title, ": ", words)


def _table(block: TableBlock) -> RichTable:
    table = RichTable(box=None, pad_edge=False, header_style="bold")
    for column in block.columns:
        table.add_column(
            _cell(column.title),
            justify="right" if column.figure else "left",
            no_wrap=not column.wraps,
            overflow="fold" if column.wraps else "ellipsis",
        )
    for row in block.rows:
        table.add_row(*map(_cell, row))
    return table
