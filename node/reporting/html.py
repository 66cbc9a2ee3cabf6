"""Rendering of blocks as HTML. Everything that is not an `Element` is escaped as text."""

import html
from collections.abc import Iterable
from itertools import groupby

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
from protocol.codecs import plain


class Element(str):
    """Markup made by `element`. Strings derived from an `Element` are plain text again."""

    __slots__ = ()


def element(name: str, /, *children: str, **attributes: str) -> Element:
    """Return an element. Children other than `Element` are escaped, as are invisible characters.

    Attributes are named as in Python: `class_`. Empty ones are omitted.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(plain(value))}"'
        for key, value in attributes.items()
        if value
    )
    within = (one if isinstance(one, Element) else html.escape(plain(one)) for one in children)
    return Element(f"<{name}{given}>{''.join(within)}</{name}>")


def html_of(blocks: Iterable[Block]) -> str:
    """Return blocks as markup, joined by newlines."""
    return "\n".join(map(_block, blocks))


def _block(block: Block) -> Element:
    match block:
        case Heading():
            return element(f"h{block.level}", *_spans(block.text))
        case Paragraph():
            return element("p", *_spans(block.text), class_="soft" if block.soft else "")
        case BulletList():
            return element("ul", *(element("li", *_spans(item)) for item in block.items))
        case TableBlock():
            return element("div", _table(block), class_="wide")
        case Plot():
            return _plot(block)
        case QuotedLines():
            return _lines(block.text)


def _spans(spans: Text) -> Iterable[str]:
    return map(_span, spans)


def _span(span: Span) -> str:
    match span:
        case str():
            return span
        case Quoted():
            return element("code", span.text)
        case Styled():
            return span.text
        case FileLink():
            return element("a", span.text, href=span.href)


def _table(block: TableBlock) -> Element:
    columns = block.columns
    head = [element("tr", *(_cell("th", column, column.title) for column in columns))]
    if any(column.group for column in columns):
        head.insert(0, element("tr", *_groups(columns), class_="groups"))
    rows = [
        element("tr", *(_cell("td", *pair) for pair in zip(columns, row, strict=True)))
        for row in block.rows
    ]
    return element("table", element("thead", *head), element("tbody", *rows))


def _groups(columns: Iterable[TableColumn]) -> Iterable[Element]:
    for group, among in groupby(columns, key=lambda column: column.group):
        yield element("th", group, class_=group or "none", colspan=str(len(list(among))))


def _cell(name: str, column: TableColumn, words: Text) -> Element:
    kind = "figure" if column.figure else "words"
    return element(name, *_spans(words), class_=f"{column.group} {kind}".strip())


def _plot(plot: Plot) -> Element:
    caption = element("figcaption", *_spans(plot.caption))
    return element("figure", _lines(plot.drawn().plain), caption)


def _lines(words: str) -> Element:
    return element("pre", Element(html.escape(plain(words, lines=True))))
