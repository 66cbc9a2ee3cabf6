"""What a report is made of before it is Markdown or a page: sections of a few kinds of blocks.

Text is either this program's own words or `Quoted`: titles, reasons, names and ids, which are
somebody's or nobody's words and are shown as they are, never read as markup.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from node.report.points import Point


@dataclass(frozen=True, slots=True)
class Quoted:
    """Text to be shown exactly as it is."""

    text: str


Piece: TypeAlias = str | Quoted
Words: TypeAlias = tuple[Piece, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paragraph:
    """Some sentences."""

    words: Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Bullets:
    """A list; where there is no room for all of it, its first items stand for it."""

    items: tuple[Words, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows as wide as their head; all columns after the first `texts` are figures."""

    head: tuple[str, ...]
    rows: tuple[tuple[Words, ...], ...]
    texts: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """Every experiment, the working line and the head; `unit` is the metric's.

    `caption` says what the marks and intervals are, where each experiment has its own.
    """

    points: tuple[Point, ...]
    unit: str
    caption: str


Block: TypeAlias = Paragraph | Bullets | Table | Plot


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading of level 2 or 3 and what stands below it."""

    title: str
    level: int
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A whole report."""

    title: str
    sections: tuple[Section, ...]


def joined(parts: Sequence[Words], separator: str = ", ") -> Words:
    """Return words one after the other."""
    pieces: list[Piece] = []
    for number, words in enumerate(parts):
        pieces += [separator, *words] if number else words
    return tuple(pieces)
