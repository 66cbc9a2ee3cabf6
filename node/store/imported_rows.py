"""Rows of experiments that other tools wrote, and text that could not be read as rows.

All original bytes are kept, so a file can be written out exactly as it was read.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias

Direction: TypeAlias = Literal["min", "max"]

MAX_SHOWN: Final = 600  # characters of a description


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# A status is compared by its first word in lower case: `ADOPTED-WIN` is `adopted`.
CRASHED: Final = _words(
    "abort aborted checks_failed crash crashed error fail failed failure invalid kill killed"
    " nan oom timeout"
)
DROPPED: Final = CRASHED | _words(
    "blocked discard discarded drop dropped neutral pending reject rejected revert reverted"
    " skip skipped worse"
)
KEPT: Final = _words(
    "accept accepted adopt adopted baseline best improved keep keeper kept merged ok pass"
    " passed success win"
)
_WORD = re.compile(r"[a-z_]+")
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}(,[0-9]{3})+(\.[0-9]*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedRow:
    """An experiment as another tool wrote it; `label` is its commit or its name in that tool.

    `is_read` is False for text that cannot be read as an experiment; `description` has this text.
    `source` is the source that came with the row. Once the source is stored, `tree` is its tree id.
    """

    label: str = ""
    metric: str = ""
    memory_gb: str = ""
    status: str = ""
    description: str
    raw: bytes
    segment: int = 0
    is_read: bool = True
    source: bytes | None = None
    tree: bytes | None = None

    @property
    def value(self) -> float | None:
        """The metric as a number; None if it is text, or if the experiment crashed."""
        value = number(self.metric)
        return None if value == 0 or word(self.status) in CRASHED else value

    @property
    def is_dropped(self) -> bool:
        """True if the row's status says that the change was discarded."""
        return word(self.status) in DROPPED


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A group of rows with the same metric: the metric's name and direction."""

    metric: str
    direction: Direction


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedLog:
    """The content of one file. `header` has the bytes before the first row."""

    form: str
    segments: tuple[Segment, ...]
    header: bytes
    rows: tuple[ImportedRow, ...]

    @property
    def data(self) -> bytes:
        """The bytes of the file as it was read."""
        return self.header + b"".join(row.raw for row in self.rows)

    @property
    def read(self) -> tuple[ImportedRow, ...]:
        """The rows that describe experiments."""
        return tuple(row for row in self.rows if row.is_read)

    @property
    def text_lines(self) -> list[int]:
        """The first line number, from 1, of each text that could not be read as an experiment."""
        found, line = [], 1 + self.header.count(b"\n")
        for row in self.rows:
            if not row.is_read:
                found.append(line)
            line += row.raw.count(b"\n")
        return found


@dataclass
class RowReader:
    """A builder of an `ImportedLog`. Bytes between two rows are added to the earlier row."""

    header: bytes = b""
    rows: list[ImportedRow] = field(default_factory=list)

    def log(self, form: str, segments: Iterable[Segment]) -> ImportedLog:
        """Return the log of a file. `form` names the format of the file."""
        return ImportedLog(
            form=form, segments=tuple(segments), header=self.header, rows=tuple(self.rows)
        )

    def append_raw(self, raw: bytes) -> None:
        """Keep bytes that are not a row, such as a blank line."""
        if self.rows:
            self.rows[-1] = replace(self.rows[-1], raw=self.rows[-1].raw + raw)
        else:
            self.header += raw

    def append_text(self, raw: bytes, text: str, *, segment: int) -> None:
        """Keep bytes that could not be read as a row."""
        self.rows.append(
            ImportedRow(description=shown(text.strip()), raw=raw, segment=segment, is_read=False)
        )


def lines_of(data: bytes) -> list[tuple[bytes, str]]:
    """Return each line as bytes and as text without its line end, in any common encoding.

    Most files are UTF-8. PowerShell writes UTF-16 with a byte order mark. Programs that append on
    Windows without naming an encoding write cp1252, so each line's encoding is detected.
    """
    mark = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}.get(data[:2])
    if mark is not None:
        whole = len(data) - len(data) % 2
        text = data[:whole].decode(mark, "surrogatepass")
        raws = [one.encode(mark, "surrogatepass") for one in text.split("\n")]
        end = "\n".encode(mark)
        raws = [raw + end for raw in raws[:-1]] + [raws[-1] + data[whole:]]
        texts = text.split("\n")
    else:
        raws = data.split(b"\n")
        raws = [raw + b"\n" for raw in raws[:-1]] + [raws[-1]]
        texts = [_decoded(raw) for raw in raws]
    pairs = [
        (raw, text.rstrip("\r\n").removeprefix("\ufeff"))
        for raw, text in zip(raws, texts, strict=True)
    ]
    return pairs if pairs[-1][0] else pairs[:-1]


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def shown(text: str) -> str:
    """Return the first `MAX_SHOWN` characters of a text, with lone surrogates replaced."""
    return text[:MAX_SHOWN].encode("utf-8", "replace").decode()


def word(status: str) -> str:
    """Return the first word of a status, in lower case."""
    found = _WORD.match(status.strip().lower())
    return found[0] if found else ""


def number(text: str) -> float | None:
    """Return the finite number in a text, which may have commas between thousands; else None."""
    text = text.strip()
    if _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
