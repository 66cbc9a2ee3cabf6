"""The blocks that every report is built of, before anything renders them.

A span of text is this program's own words (`str`) or marked otherwise; what somebody else wrote is
`Quoted`, and cleaned when it is made. `markdown.py`, `html.py` and `terminal.py` render the same
blocks, each with quoted text apart and none of it markup; as JSON a page draws them.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from node.reporting.staircase import PointsDocument, columns_in, picture
from node.reporting.tasks import MetricDocument
from protocol.codecs import plain

if TYPE_CHECKING:
    from rich.text import Text as RichText

_HARMLESS: Final = re.compile(r"[A-Za-z0-9%/ ]*")


class _Tagged(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind"):
    """A block, or a span that is marked; `kind` says which in JSON."""


class Quoted(_Tagged, frozen=True, tag="quoted"):
    """Text that is not our prose: somebody else's words, a name, an id or a command.

    It has one line, and everything in it that is not visible is spelt out.
    """

    text: str

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "text", plain(" ".join(self.text.split())))


class Styled(_Tagged, frozen=True, tag="styled"):
    """Own words in one of Rich's styles, which a terminal shows."""

    text: str
    style: str


class FileLink(_Tagged, frozen=True, tag="link"):
    """A name that leads to a file next to the one it is in."""

    text: str
    href: str


Span: TypeAlias = str | Quoted | Styled | FileLink
Text: TypeAlias = tuple[Span, ...]


class Heading(_Tagged, frozen=True, tag="heading"):
    """A heading; `level` counts from 1, the title of the whole."""

    level: int
    text: Text


class Paragraph(_Tagged, frozen=True, tag="paragraph"):
    """A paragraph; a `soft` one explains what it follows."""

    text: Text
    soft: bool = False


class BulletList(_Tagged, frozen=True, tag="list"):
    """A list. Of a long one a renderer may show the first items, and how many there are more."""

    items: tuple[Text, ...]


class TableColumn(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A column of a table. A `figure` is aligned on the right; what `wraps` may take several lines.

    `group` is a heading over neighbouring columns that have the same one.
    """

    title: Text
    figure: bool = False
    wraps: bool = False
    group: str = ""


class TableBlock(_Tagged, frozen=True, tag="table"):
    """A table; each row has a cell for each column."""

    columns: tuple[TableColumn, ...]
    rows: tuple[tuple[Text, ...], ...]


class Plot(_Tagged, frozen=True, tag="plot"):
    """A line's experiments; `head_words` say how its head came to be one."""

    metric: MetricDocument
    head_words: str
    caption: Text
    points: PointsDocument

    def drawn(self) -> "RichText":
        """Return it drawn in characters, several experiments to a column where there are many."""
        return picture(columns_in(self.points))


class QuotedLines(_Tagged, frozen=True, tag="lines"):
    """Lines of somebody else's, such as a diff; what is not visible is spelt out."""

    text: str
    language: str = "text"

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "text", plain(self.text.rstrip("\n"), lines=True))


Block: TypeAlias = Heading | Paragraph | BulletList | TableBlock | Plot | QuotedLines


def quoted(words: str) -> Quoted:
    """Return somebody else's words, a name, an id or a command as a span."""
    return Quoted(text=words)


def name_of(word: str) -> Span:
    """Return a name as it is if nothing in it can be markup, else quoted."""
    return word if _HARMLESS.fullmatch(word) else quoted(word)


def text(*parts: Span | Text) -> Text:
    """Return parts as one text. Own words that follow one another become one span."""
    spans: list[Span] = []
    for span in chain.from_iterable(part if isinstance(part, tuple) else (part,) for part in parts):
        last = spans[-1] if spans else None
        if isinstance(span, str) and isinstance(last, str):
            spans[-1] = last + span
        elif span != "":
            spans.append(span)
    return tuple(spans)


def joined(between: str, parts: Iterable[Span | Text]) -> Text:
    """Return parts as one text, with own words between them."""
    spans = [one for part in parts for one in (between, part)]
    return text(*spans[1:])


def heading(level: int, *parts: Span | Text) -> Heading:
    """Return a heading of these parts."""
    return Heading(level=level, text=text(*parts))


def paragraph(*parts: Span | Text, soft: bool = False) -> Paragraph:
    """Return a paragraph of these parts."""
    return Paragraph(text=text(*parts), soft=soft)


def bullets(items: Iterable[Span | Text]) -> BulletList:
    """Return a list of these items."""
    return BulletList(items=tuple(text(item) for item in items))


def words_column(title: Span | Text, *, wraps: bool = False, group: str = "") -> TableColumn:
    """Return a column that holds words."""
    return TableColumn(title=text(title), wraps=wraps, group=group)


def figures_column(title: Span | Text, *, group: str = "") -> TableColumn:
    """Return a column that holds figures."""
    return TableColumn(title=text(title), figure=True, group=group)


def table(columns: Sequence[TableColumn], rows: Iterable[Sequence[Span | Text]]) -> TableBlock:
    """Return a table of these columns and rows."""
    cells = tuple(tuple(text(cell) for cell in row) for row in rows)
    return TableBlock(columns=tuple(columns), rows=cells)
