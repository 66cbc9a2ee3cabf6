"""The blocks that reports consist of, independent of how they are rendered.

The text of a block consists of spans. A `str` is text by arnode. Untrusted text is `Quoted`, which
escapes it on creation. `markdown.py`, `html.py` and `terminal.py` render the same blocks: each of
them shows quoted text as such and never interprets it as markup. The page draws the blocks from
JSON.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from node.reporting.staircase import REPORT_WIDTH, PointsDocument, columns_in, picture
from node.reporting.tasks import MetricDocument
from protocol.codecs import plain

if TYPE_CHECKING:
    from rich.text import Text as RichText

_HARMLESS: Final = re.compile(r"[A-Za-z0-9%/ ]*")


class _Tagged(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind"):
    """The base class of blocks and of spans other than `str`. In JSON, `kind` names the type."""


class Quoted(_Tagged, frozen=True, tag="quoted"):
    """Text that is not arnode's prose: untrusted text, a name, an id or a command.

    It is a single line of text, with invisible characters escaped.
    """

    text: str

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "text", plain(" ".join(self.text.split())))


class Styled(_Tagged, frozen=True, tag="styled"):
    """Text by arnode with a Rich style, which only terminals show."""

    text: str
    style: str


class FileLink(_Tagged, frozen=True, tag="link"):
    """A link to a file in the same folder."""

    text: str
    href: str


Span: TypeAlias = str | Quoted | Styled | FileLink
Text: TypeAlias = tuple[Span, ...]


class Heading(_Tagged, frozen=True, tag="heading"):
    """A heading; `level` 1 is the title of the document."""

    level: int
    text: Text


class Paragraph(_Tagged, frozen=True, tag="paragraph"):
    """A paragraph; a `soft` one explains the block before it."""

    text: Text
    soft: bool = False


class BulletList(_Tagged, frozen=True, tag="list"):
    """A list. A renderer may show only the first items, and say how many more there are."""

    items: tuple[Text, ...]


class TableColumn(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A column of a table. `figure` aligns it on the right; `wraps` lets its text wrap.

    Adjacent columns with the same `group` share a heading with this text.
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
    """A plot of a line's experiments.

    `head_words` labels the head: "measured head" if a candidate scores itself, else "verified
    head".
    """

    metric: MetricDocument
    head_words: str
    caption: Text
    points: PointsDocument

    def drawn(self, width: int = REPORT_WIDTH) -> "RichText":
        """Return the plot as text of at most `width` columns.

        If there are many experiments, a column shows several.
        """
        return picture(columns_in(self.points), self.head_words, min(width, REPORT_WIDTH))


class QuotedLines(_Tagged, frozen=True, tag="lines"):
    """Untrusted lines of text, such as a diff, with invisible characters escaped."""

    text: str
    language: str = "text"

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "text", plain(self.text.rstrip("\n"), lines=True))


Block: TypeAlias = Heading | Paragraph | BulletList | TableBlock | Plot | QuotedLines


def quoted(words: str) -> Quoted:
    """Return a span of untrusted text, a name, an id or a command."""
    return Quoted(text=words)


def name_of(word: str) -> Span:
    """Return a name unchanged if it cannot contain markup, else quoted."""
    return word if _HARMLESS.fullmatch(word) else quoted(word)


def text(*parts: Span | Text) -> Text:
    """Return parts as one text. Adjacent plain strings become one span."""
    spans: list[Span] = []
    for span in chain.from_iterable(part if isinstance(part, tuple) else (part,) for part in parts):
        last = spans[-1] if spans else None
        if isinstance(span, str) and isinstance(last, str):
            spans[-1] = last + span
        elif span != "":
            spans.append(span)
    return tuple(spans)


def joined(between: str, parts: Iterable[Span | Text]) -> Text:
    """Return parts as one text, separated by `between`."""
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
    """Return a column of words."""
    return TableColumn(title=text(title), wraps=wraps, group=group)


def figures_column(title: Span | Text, *, group: str = "") -> TableColumn:
    """Return a column of figures."""
    return TableColumn(title=text(title), figure=True, group=group)


def table(columns: Sequence[TableColumn], rows: Iterable[Sequence[Span | Text]]) -> TableBlock:
    """Return a table of these columns and rows."""
    cells = tuple(tuple(text(cell) for cell in row) for row in rows)
    return TableBlock(columns=tuple(columns), rows=cells)
