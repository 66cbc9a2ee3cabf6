"""Reads what other tools wrote about their experiments: results.tsv, log.jsonl, at-home records.

All of it is somebody's unsigned word. Each row keeps its bytes as they came, so that the file can
be given back without loss; the figures are read only to be shown. What does not read, a line torn
by a crash or notes between the rows, is kept as text beside them and counted. A crash is written
as a metric of 0 there, which never counts.

    autoresearch     TSV by its header: commit, metric, memory_gb, status, description, others
    pi-autoresearch  JSON lines: {type: "config", metricName, bestDirection} begins a segment,
                     then {run, commit, metric, status, description, …}; {type: "hook"} is no row
    at-home          JSON, a list of it, or lines of it: {agent_id, val_bpb, memory_gb, status,
                     commit, description, train_py, …}

n-autoresearch's experiments and autoresearch-mlx's ledger: `node.store.foreign_ledgers`.
"""

import json
from typing import Final, cast

from node.store.foreign_ledgers import as_form, is_json, read_experiments, read_ledger
from node.store.foreign_rows import (
    Direction,
    ForeignLog,
    ForeignRow,
    Form,
    RowReader,
    Segment,
    lines_of,
    shown,
)
from node.store.foreign_tables import read_table
from protocol.errors import UsageError

FORMS: Final[tuple[Form, ...]] = (
    "autoresearch",
    "pi-autoresearch",
    "at-home",
    "n-autoresearch",
    "autoresearch-mlx",
)
MAX_LOG_BYTES: Final = 64 << 20
_HINTS: Final[dict[Form, str]] = {
    "autoresearch": "a header names its columns, with tabs between: commit, the metric,"
    " memory_gb, status, description",
    "pi-autoresearch": "its runs are JSON lines with run, metric and status",
    "at-home": "its records are JSON objects with val_bpb and status",
    "n-autoresearch": "`POST /api/experiment/history` answers them as JSON, with val_bpb and"
    " status; `data/state_store.db/experiments.bin` holds them",
    "autoresearch-mlx": "its results.tsv has a header, its rigor_ledger.jsonl lines with mean and"
    " status",
}
_SPACE = " \t\r\n"


def read_log(form: Form, data: bytes, name: str) -> ForeignLog:
    """Return what a file of this form holds; raises UsageError if that is no experiment at all."""
    if len(data) > MAX_LOG_BYTES:
        raise UsageError(f"{name} is larger than {MAX_LOG_BYTES >> 20} MB", "import a part of it")
    match form:
        case "autoresearch":
            log = read_table(data)
        case "pi-autoresearch":
            log = _read_lines(data)
        case "at-home":
            log = _read_records(data)
        case "n-autoresearch":
            log = read_experiments(data) if is_json(data) else as_form(read_table(data), form)
        case "autoresearch-mlx":
            log = read_ledger(data) if is_json(data) else as_form(read_table(data), form)
    if not log.read:
        raise UsageError(
            f"{name} holds no experiment of {form}", f"is it another tool's? {_HINTS[form]}"
        )
    return log


def _read_lines(data: bytes) -> ForeignLog:
    """Each configuration begins a segment, unless no run came since the last one."""
    book, segments = RowReader(), [Segment(metric="metric", direction="min")]
    is_used = False
    for raw, text in lines_of(data):
        value = _object(text)
        if not text.strip() or (value is not None and value.get("type") == "hook"):
            book.append_raw(raw)
        elif value is not None and value.get("type") == "config":
            book.append_raw(raw)
            segment = _configured(value, segments[-1])
            segments = [*(segments if is_used else segments[:-1]), segment]
            is_used = False
        elif value is not None and "metric" in value and value.get("type", "run") == "run":
            is_used = True
            book.rows.append(
                ForeignRow(
                    label=_shown(value.get("commit", "")),
                    metric=_shown(value["metric"]),
                    status=_shown(value.get("status", "")),
                    description=_shown(value.get("description", "")),
                    raw=raw,
                    segment=len(segments) - 1,
                )
            )
        else:
            book.append_text(raw, text, segment=len(segments) - 1)
    return book.log("pi-autoresearch", segments)


def _configured(value: dict[str, object], before: Segment) -> Segment:
    """Return what a configuration asks for; what it leaves out is as before it."""
    names: dict[object, Direction] = {"higher": "max", "lower": "min"}
    wanted = value.get("bestDirection")
    return Segment(
        metric=_shown(value.get("metricName", before.metric)),
        direction=names.get(wanted, before.direction) if isinstance(wanted, str) else "min",
    )


def _read_records(data: bytes) -> ForeignLog:
    text = None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        book = _read_record_lines(data)
    else:
        start = _after(text, 0, _SPACE + "\ufeff")
        if text.startswith("[", start):
            book = _read_record_list(text, start)
        elif (value := _object(text[start:])) is not None:
            book = RowReader(header=text[:start].encode())
            _append_record(book, text[start:].encode(), text[start:], value)
        else:
            book = _read_record_lines(data)
    return book.log("at-home", [Segment(metric="val_bpb", direction="min")])


def _read_record_lines(data: bytes) -> RowReader:
    book = RowReader()
    for raw, text in lines_of(data):
        if text.strip():
            _append_record(book, raw, text, _object(text))
        else:
            book.append_raw(raw)
    return book


def _read_record_list(text: str, start: int) -> RowReader:
    """Read the objects of a list where they stand; from where it breaks off, the rest is text."""
    book, decoder = RowReader(), json.JSONDecoder()
    at, end = 0, start + 1
    while True:
        begin = _after(text, end, _SPACE + ",")
        book.append_raw(text[at:begin].encode())
        at = begin
        if begin == len(text):
            return book
        if text[begin] == "]" and _after(text, begin + 1, _SPACE) == len(text):
            book.append_raw(text[begin:].encode())
            return book
        try:
            value, end = decoder.raw_decode(text, begin)
        except (ValueError, RecursionError):
            book.append_text(text[begin:].encode(), text[begin:], segment=0)
            return book
        piece = text[begin:end]
        _append_record(book, piece.encode(), piece, value)
        at = end


def _append_record(book: RowReader, raw: bytes, text: str, value: object) -> None:
    if not isinstance(value, dict) or "val_bpb" not in value or "status" not in value:
        book.append_text(raw, text, segment=0)
        return
    source = value.get("train_py")
    label = f"{_shown(value.get('agent_id', ''))} {_shown(value.get('commit') or '')}".strip()
    book.rows.append(
        ForeignRow(
            label=label,
            metric=_shown(value["val_bpb"]),
            memory_gb=_shown(value.get("memory_gb", "")),
            status=_shown(value["status"]),
            description=_shown(value.get("description", "")),
            raw=raw,
            source=source.encode("utf-8", "replace") if isinstance(source, str) else None,
        )
    )


def _object(text: str) -> dict[str, object] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


def _after(text: str, at: int, skipped: str) -> int:
    while at < len(text) and text[at] in skipped:
        at += 1
    return at


def _shown(value: object) -> str:
    return shown(value if isinstance(value, str) else json.dumps(value))
