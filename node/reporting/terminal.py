"""Renders blocks for a terminal, with Rich. Nothing in any of them steers it."""

from collections.abc import Iterable, Sequence

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
from protocol.codecs import plain


def print_blocks(console: Console, *blocks: Block, shown: int | None = None) -> None:
    """Print blocks one below the other; of a list `shown` items, None being all.

    A blank line sets a heading below the first level apart from what it follows.
    """
    for block in blocks:
        if isinstance(block, Heading) and block.level > 1:
            console.print()
        for part in _rendered(block, shown):
            console.print(part)


def _rendered(block: Block, shown: int | None) -> Iterable[RenderableType]:
    match block:
        case Heading():
            return [_text(block.text, "bold")]
        case Paragraph():
            return [_text(block.text, "dim" if block.soft else "")]
        case BulletList():
            return _list(block.items, shown)
        case TableBlock():
            return [_table(block)]
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
        case Quoted() | FileLink():
            return plain(span.text)


def _table(block: TableBlock) -> RichTable:
    table = RichTable(box=None, pad_edge=False, header_style="bold")
    for column in block.columns:
        table.add_column(
            _text(column.title),
            justify="right" if column.figure else "left",
            no_wrap=not column.wraps,
            overflow="fold" if column.wraps else "ellipsis",
        )
    for row in block.rows:
        table.add_row(*map(_text, row))
    return table
