"""A reader of tables like autoresearch's results.tsv. The header decides the columns' meaning.

autoresearch writes commit, val_bpb, memory_gb, status, description. Its derivatives add columns,
change the metric, continue in prose below the table, or begin with another header halfway. Each
header applies to the lines below it, up to the next header. A line that does not fit its header is
kept as text.
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from node.store.imported_rows import (
    CRASHED,
    DROPPED,
    KEPT,
    Direction,
    ImportedLog,
    ImportedRow,
    RowReader,
    Segment,
    lines_of,
    number,
    shown,
    word,
)

Line = tuple[bytes, str]

_PLAIN: Final = ("commit", "val_bpb", "memory_gb", "status", "description")
_LEAST = 3  # the fewest columns of a header
_MAX_JOINED = 50  # the most lines of one quoted field
# Names of columns by purpose. The first one that a table has is used.
_LABELS = (
    "commit", "git_commit", "commit_hash", "hash", "sha", "git_sha", "experiment_id", "exp_id",
    "experiment", "exp", "run_id", "run", "trial", "iteration", "iter", "id", "name", "tag",
)  # fmt: skip
_STATUSES = ("status", "decision", "outcome", "verdict", "result", "correctness")
_DESCRIPTIONS = (
    "description", "desc", "notes", "note", "summary", "changes", "change", "comment", "title",
    "hypothesis",
)  # fmt: skip
_MEMORIES = ("memory", "mem", "vram", "peak_memory", "peak_mem", "peak_vram", "gpu_mem")
_METRICS = ("val_bpb", "metric", "score")
_NO_METRICS = frozenset(("date", "time", "timestamp", "ts", "step", "steps", "seed", "epoch"))
_LOW = re.compile(r"bpb|loss|ppl|perplexity|error")
_NAME = re.compile(r"[^\W\d][\w .%/()+-]{0,59}")
_STATUS_TEXT = re.compile(r"[^\W\d][\w /()+-]{0,39}")


@dataclass(frozen=True, slots=True)
class _Columns:
    """The index of the column for each purpose; None if the table lacks such a column."""

    names: tuple[str, ...]
    label: int | None
    metric: int
    memory: int | None
    status: int | None
    description: int | None


def read_table(data: bytes) -> ImportedLog:
    """Return the rows and the text of a table; no rows if it is not a table."""
    book = RowReader()
    segments: list[Segment] = []
    for header, lines in _blocks(lines_of(data)):
        columns = None if header is None else _columns(header, lines)
        rows = _rows(lines, columns)
        if columns is not None and any(row.is_read for row in rows.rows):
            segment = _segment(columns, rows.rows)
            if segments[-1:] != [segment]:
                segments.append(segment)
        book.append_raw(rows.header)
        at = max(len(segments) - 1, 0)
        for row in rows.rows:
            book.rows.append(replace(row, segment=at))
    return book.log("autoresearch", segments)


def _blocks(lines: Sequence[Line]) -> list[tuple[tuple[str, ...] | None, list[Line]]]:
    """Split lines into blocks that begin with their header.

    A file without a header is read with autoresearch's header, if its rows look like
    autoresearch's.
    """
    blocks: list[tuple[tuple[str, ...] | None, list[Line]]] = [(None, [])]
    for line in lines:
        names = _header(line[1])
        if names is None and blocks[-1][0] is None and _is_plain(line[1]):
            names = _PLAIN
        if names is not None and names != blocks[-1][0]:
            blocks.append((names, []))
        blocks[-1][1].append(line)
    return blocks


def _header(text: str) -> tuple[str, ...] | None:
    """Return the column names of a header line; None if the line is not a header."""
    names = tuple(field.strip().strip('"') for field in text.lstrip("# ").split("\t"))
    if len(names) < _LEAST or not all(_NAME.fullmatch(name) for name in names):
        return None
    low = {name.lower() for name in names}
    has_outcome = low & {*_STATUSES, *_DESCRIPTIONS}
    return names if low & set(_LABELS) and has_outcome and len(low) == len(names) else None


def _is_plain(text: str) -> bool:
    fields = text.split("\t")
    return (
        len(fields) >= len(_PLAIN)
        and number(fields[1]) is not None
        and word(fields[3]) in KEPT | DROPPED
    )


def _columns(names: tuple[str, ...], lines: Sequence[Line]) -> _Columns | None:
    """Return the columns of a block; None if none of them can be the metric."""
    low = [name.lower() for name in names]

    def first(wanted: Sequence[str]) -> int | None:
        return next((low.index(name) for name in wanted if name in low), None)

    label, status, description = first(_LABELS), first(_STATUSES), first(_DESCRIPTIONS)
    memory = first([f"{name}_{unit}" for unit in ("gb", "mb") for name in _MEMORIES])
    taken = {label, status, description, memory}
    # Rows may lack a description, or have tabs in it.
    values = [fields for _, text in lines if len(fields := text.split("\t")) >= len(names) - 1]
    free = [
        at
        for at, name in enumerate(low)
        if at not in taken and name not in _NO_METRICS and _is_numeric(at, values)
    ]
    named = [low.index(name) for name in _METRICS if name in low]
    named += [at for at, name in enumerate(low) if name.startswith("val_")]
    metric = next((at for at in [*named, *free] if at in free), None)
    if metric is None:
        return None
    return _Columns(names, label, metric, memory, status, description)


def _is_numeric(at: int, rows: Sequence[Sequence[str]]) -> bool:
    """Return True if a column has at least as many numbers as words, or is empty."""
    numbers = words = 0
    for row in rows:
        value = row[at].strip() if at < len(row) else ""
        numbers += number(value) is not None
        words += _NAME.fullmatch(value) is not None and not _is_nothing(value)
    return numbers >= words


def _rows(lines: Sequence[Line], columns: _Columns | None) -> RowReader:
    book, at = RowReader(), 0
    while at < len(lines):
        raw, text = lines[at]
        at += 1
        if not text.strip() or (columns and _header(text) == columns.names):
            book.append_raw(raw)
            continue
        fields = None
        if columns is not None:
            fields, joined = _fields(lines[at - 1 : at - 1 + _MAX_JOINED], len(columns.names))
            row = _row(fields, columns, b"".join(one for one, _ in lines[at - 1 : at - 1 + joined]))
            if row is not None:
                book.rows.append(row)
                at += joined - 1
                continue
        book.append_text(raw, text, segment=0)
    return book


def _fields(lines: Sequence[Line], count: int) -> tuple[list[str], int]:
    """Return the fields that begin in the first line, and the number of lines they span.

    Quotes are part of the text, as in autoresearch's files. They delimit fields only if that gives
    as many fields as there are columns.
    """
    text = lines[0][1]
    fields = text.split("\t")
    if any(field.lstrip().startswith('"') for field in fields):
        for joined in range(1, len(lines) + 1):
            together = "\n".join(line for _, line in lines[:joined])
            try:
                (quoted,) = csv.reader([together], delimiter="\t", strict=True)
            except (csv.Error, ValueError):
                continue
            if len(quoted) == count:
                return quoted, joined
            break
    return fields, 1


def _row(fields: list[str], columns: _Columns, raw: bytes) -> ImportedRow | None:
    """Return the experiment that the fields describe; None if they do not fit the columns."""
    last = len(columns.names) - 1
    if columns.description == last and len(fields) > last + 1:  # a tab in the description
        fields = [*fields[:last], "\t".join(fields[last:])]
    needed = max(columns.metric, columns.status or 0)
    if not needed < len(fields) <= last + 1:
        return None

    def of(at: int | None) -> str:
        return fields[at].strip() if at is not None and at < len(fields) else ""

    metric, status = of(columns.metric), of(columns.status)
    is_known = word(status) in KEPT | DROPPED
    is_whole = len(fields) == last + 1 and (
        columns.status is None or _STATUS_TEXT.fullmatch(status) is not None
    )
    if not is_known and not (is_whole and (number(metric) is not None or _is_nothing(metric))):
        return None
    if not metric.isprintable():
        return None
    return ImportedRow(
        label=shown(of(columns.label)),
        metric=shown(metric),
        memory_gb=shown(_gigabytes(of(columns.memory), columns)),
        status=shown(status),
        description=shown(of(columns.description)),
        raw=raw,
    )


def _is_nothing(text: str) -> bool:
    """Return True if a text in the metric's column means that there is no value."""
    nothing = {"", "-", "--", "—", "?", "n/a", "na", "nan", "inf", "-inf", "none", "null", "tbd"}
    return text.lower() in nothing | CRASHED


def _gigabytes(text: str, columns: _Columns) -> str:
    if columns.memory is None or not columns.names[columns.memory].lower().endswith("_mb"):
        return text
    value = number(text)
    return text if value is None else f"{value / 1024:.1f}"


def _segment(columns: _Columns, rows: Sequence[ImportedRow]) -> Segment:
    return Segment(
        metric=shown(columns.names[columns.metric]),
        direction=_direction(columns.names[columns.metric], rows),
    )


def _direction(metric: str, rows: Sequence[ImportedRow]) -> Direction:
    """Infer from the kept rows which direction is better, since tables do not state it.

    Each kept row should be better than the one before. So larger is better if the metric rises more
    often than it falls. For autoresearch's own metric, losses and errors, smaller is better.
    """
    if _LOW.search(metric.lower()):
        return "min"
    kept = [row.value for row in rows if row.is_read and not row.is_dropped]
    steps = [after - before for before, after in pairwise(v for v in kept if v is not None)]
    return "max" if sum((step > 0) - (step < 0) for step in steps) > 0 else "min"
