"""Reads tables like autoresearch's results.tsv: columns by their header, whatever they are.

autoresearch writes commit, val_bpb, memory_gb, status, description. Those who took it further
added columns, changed the metric, went on below in prose, or began with another header halfway.
Each header says what the lines below it hold, up to the next; what does not fit it is text.
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from node.store.foreign_rows import (
    CRASHED,
    DROPPED,
    KEPT,
    Direction,
    ForeignLog,
    ForeignRow,
    RowReader,
    Segment,
    lines_of,
    number,
    shown,
    word,
)

Line = tuple[bytes, str]

_PLAIN: Final = ("commit", "val_bpb", "memory_gb", "status", "description")
_LEAST = 3  # columns of a header
_MAX_JOINED = 50  # lines of one quoted field
# What a column is for, by its name; the first that is there.
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
    """Which column is what; None for what a table has not."""

    names: tuple[str, ...]
    label: int | None
    metric: int
    memory: int | None
    status: int | None
    description: int | None


def read_table(data: bytes) -> ForeignLog:
    """Return the rows and the text of a table; no rows if it is none."""
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
    """Divide lines at their headers; a header is the first line of its block.

    A file without a header, whose rows are as autoresearch writes them, is read as it would be.
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
    """Return the names of a header's columns, None if the line is none."""
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
    """Find the columns of a block; None if none of them is a metric's."""
    low = [name.lower() for name in names]

    def first(wanted: Sequence[str]) -> int | None:
        return next((low.index(name) for name in wanted if name in low), None)

    label, status, description = first(_LABELS), first(_STATUSES), first(_DESCRIPTIONS)
    memory = first([f"{name}_{unit}" for unit in ("gb", "mb") for name in _MEMORIES])
    taken = {label, status, description, memory}
    # Of rows that may lack a description, or have tabs in it.
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
    """Whether more of a column's values are numbers than words; so is one without any value."""
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
    """Return the fields that begin in the first line, and how many lines they take.

    Quotes are text, as autoresearch's are, unless only they make as many fields as there are
    columns, or close what they opened.
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


def _row(fields: list[str], columns: _Columns, raw: bytes) -> ForeignRow | None:
    """Return the experiment that fields tell of, None if they do not fit the columns."""
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
    return ForeignRow(
        label=shown(of(columns.label)),
        metric=shown(metric),
        memory_gb=shown(_gigabytes(of(columns.memory), columns)),
        status=shown(status),
        description=shown(of(columns.description)),
        raw=raw,
    )


def _is_nothing(text: str) -> bool:
    """Whether a metric's place says that there is none."""
    nothing = {"", "-", "--", "—", "?", "n/a", "na", "nan", "inf", "-inf", "none", "null", "tbd"}
    return text.lower() in nothing | CRASHED


def _gigabytes(text: str, columns: _Columns) -> str:
    if columns.memory is None or not columns.names[columns.memory].lower().endswith("_mb"):
        return text
    value = number(text)
    return text if value is None else f"{value / 1024:.1f}"


def _segment(columns: _Columns, rows: Sequence[ForeignRow]) -> Segment:
    return Segment(
        metric=shown(columns.names[columns.metric]),
        direction=_direction(columns.names[columns.metric], rows),
    )


def _direction(metric: str, rows: Sequence[ForeignRow]) -> Direction:
    """Which way is better: that of most steps from one kept row to the next, as each was better.

    A table does not say it. autoresearch's own metric, losses and errors are to be small.
    """
    if _LOW.search(metric.lower()):
        return "min"
    kept = [row.value for row in rows if row.is_read and not row.is_dropped]
    steps = [after - before for before, after in pairwise(v for v in kept if v is not None)]
    return "max" if sum((step > 0) - (step < 0) for step in steps) > 0 else "min"
