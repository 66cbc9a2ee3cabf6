"""Rendering of blocks for a terminal, with Rich. No text in them can control the terminal.

Untrusted text is in backticks, as in Markdown, so that it cannot pass for text by arnode. Text
that fills a whole table cell gets no backticks.
"""

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.padding import Padding
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
    TableColumn,
    Text,
)
from node.reporting.markdown import code_span
from node.terminal.terminal import seen

_GAP = 2  # columns between two columns of a table


_LEAST_WRAPPED = 32  # columns in which prose in a table still reads well


def print_blocks(console: Console, *blocks: Block, shown: int | None = None) -> None:
    """Print blocks in order, with `shown` items of a list (None: all).

    A heading below the first level gets a blank line before it. Nothing is cut: cells of a table
    that do not fit into the terminal are printed below their row.
    """
    for block in blocks:
        if isinstance(block, Heading) and block.level > 1:
            console.print()
        for part in _rendered(block, shown, console.width):
            console.print(part)


def _rendered(block: Block, shown: int | None, width: int) -> Iterable[RenderableType]:
    match block:
        case Heading():
            return [_text(block.text, "bold")]
        case Paragraph():
            return [_text(block.text, "dim" if block.soft else "")]
        case BulletList():
            return _list(block.items, shown)
        case TableBlock():
            return _table(block, width)
        case Plot():
            return [block.drawn(width)]
        case QuotedLines():
            return [RichText(block.text)]


def _list(items: Sequence[Text], shown: int | None) -> Iterable[RenderableType]:
    for item in items[:shown]:
        yield _item(_text(item))
    if (more := len(items) - len(items[:shown])) > 0:
        yield _item(RichText(f"and {more} more: `arnode report --json` has all of them"))


def _item(words: RichText) -> RenderableType:
    item = RichTable.grid()
    item.add_row("- ", words)
    return item


def _text(spans: Text, style: str = "") -> RichText:
    return RichText.assemble(*map(_span, spans), style=style)


def _span(span: Span) -> str | tuple[str, str]:
    match span:
        case str():
            return "\n".join(map(seen, span.split("\n")))
        case Styled():
            return seen(span.text), span.style
        case Quoted():
            return seen(code_span(span))
        case FileLink():
            return seen(span.text)


def _cell(spans: Text) -> RichText:
    """Return a cell. Untrusted text that fills the whole cell gets no backticks."""
    match spans:
        case (Quoted(text=words),) | (FileLink(text=words),):
            return RichText(seen(words))
    return _text(spans)


def _table(block: TableBlock, width: int) -> Iterable[RenderableType]:
    """Return a table whose columns have at least the widths that they need.

    If the table is too wide, as many columns as fit side by side keep their place. The cells of
    the other columns follow below each row. If not even two columns fit, each cell has a line.
    """
    rows = (tuple(column.title for column in block.columns), *block.rows)
    columns = list(zip(block.columns, zip(*rows, strict=True), strict=True))
    needed = [_needed_width(*column) for column in columns]
    if sum(needed) + _GAP * (len(needed) - 1) <= width:
        return [_side_by_side(block)]
    count, taken = 0, -_GAP
    for column, wanted in zip(block.columns, needed, strict=True):
        taken += wanted + _GAP
        if column.wraps or taken > width:
            break
        count += 1
    return _by_rows(block, needed[:count] if count > 1 else [])


def _needed_width(column: TableColumn, cells: Sequence[Text]) -> int:
    """Return the least width of a column with these cells, its title among them."""
    shown = [_cell(cell).plain for cell in cells]
    if not column.wraps:
        return max(map(cell_len, shown))
    longest_word = max((cell_len(word) for text in shown for word in text.split()), default=0)
    return max(longest_word, min(_LEAST_WRAPPED, max(map(cell_len, shown))))


def _by_rows(block: TableBlock, widths: Sequence[int]) -> Iterable[RenderableType]:
    """Yield the first columns side by side, and the other cells of each row in lines below."""
    count = len(widths)
    titles = [RichText(_cell(column.title).plain, "bold") for column in block.columns]
    if count:
        yield _row(block, titles, widths)
    for number, row in enumerate(block.rows):
        cells = [*map(_cell, row)]
        if count:
            yield _row(block, cells, widths)
        elif number:
            yield RichText("")
        below = [*zip(block.columns, titles, cells, strict=True)][count:]
        is_prose = count > 0 and len(below) == 1 and below[0][0].wraps
        named = [
            cell if is_prose or not title.plain else RichText(": ").join([title, cell])
            for _, title, cell in below
            if cell.plain
        ]
        if not count:
            yield from named
        elif named:
            yield Padding(RichText("; ").join(named), (0, 0, 0, 2), expand=False)


def _row(block: TableBlock, cells: Sequence[RichText], widths: Sequence[int]) -> RichText:
    """Return the first cells of a row in one line."""
    line = RichText()
    for column, cell, width in zip(block.columns, cells, widths, strict=False):
        spaces = " " * (width - cell.cell_len)
        line.append(" " * _GAP if line.plain else "")
        parts = (spaces, cell) if column.figure else (cell, spaces)
        for part in parts:
            line.append(part)
    line.rstrip()
    return line


def _side_by_side(block: TableBlock) -> RichTable:
    table = RichTable(box=None, pad_edge=False, header_style="bold")
    for column in block.columns:
        table.add_column(
            _cell(column.title),
            justify="right" if column.figure else "left",
            no_wrap=not column.wraps,
        )
    for row in block.rows:
        table.add_row(*map(_cell, row))
    return table
