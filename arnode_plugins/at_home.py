"""An importer of at-home's result records: a JSON object, a list of objects, or JSON lines.

    {agent_id, val_bpb, memory_gb, status, commit, description, train_py, …}

A crash is recorded as a val_bpb of 0, which never counts.
"""

import json
from typing import Final

from arnode_plugins.json_text import SPACE, after, object_in, shown_value
from node.exchange.importers import HistoryReader, Importer
from node.store.imported_rows import ImportedLog, ImportedRow, RowReader, Segment, lines_of


def read_history(data: bytes) -> ImportedLog:
    """Return the records of a file as a log, which has no rows if there are no records."""
    text = None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        book = _read_record_lines(data)
    else:
        start = after(text, 0, SPACE + "\ufeff")
        if text.startswith("[", start):
            book = _read_record_list(text, start)
        elif (value := object_in(text[start:])) is not None:
            book = RowReader(header=text[:start].encode())
            _append_record(book, text[start:].encode(), text[start:], value)
        else:
            book = _read_record_lines(data)
    return book.log("at-home", [Segment(metric="val_bpb", direction="min")])


def _read_record_lines(data: bytes) -> RowReader:
    book = RowReader()
    for raw, text in lines_of(data):
        if text.strip():
            _append_record(book, raw, text, object_in(text))
        else:
            book.append_raw(raw)
    return book


def _read_record_list(text: str, start: int) -> RowReader:
    """Read the objects of a list. If the list is cut off, keep the incomplete rest as text."""
    book, decoder = RowReader(), json.JSONDecoder()
    at, end = 0, start + 1
    while True:
        begin = after(text, end, SPACE + ",")
        book.append_raw(text[at:begin].encode())
        at = begin
        if begin == len(text):
            return book
        if text[begin] == "]" and after(text, begin + 1, SPACE) == len(text):
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
    agent, commit = shown_value(value.get("agent_id", "")), shown_value(value.get("commit") or "")
    book.rows.append(
        ImportedRow(
            label=f"{agent} {commit}".strip(),
            metric=shown_value(value["val_bpb"]),
            memory_gb=shown_value(value.get("memory_gb", "")),
            status=shown_value(value["status"]),
            description=shown_value(value.get("description", "")),
            raw=raw,
            source=source.encode("utf-8", "replace") if isinstance(source, str) else None,
        )
    )


IMPORTER: Final = Importer(
    history=HistoryReader(
        summary="""Import at-home result records: a JSON object, a list of them, or JSON lines.

        `arnode export results.tsv --imported ID` gives them back byte for byte.""",
        read=read_history,
        hint="its records are JSON objects with val_bpb and status",
    )
)
