"""An importer of n-autoresearch's experiments, and of its table (in autoresearch's format).

An experiment is a JSON object: {id, tag, commit_sha, description, hypothesis, category, val_bpb,
peak_vram_mb, status, error, …}. A running or crashed one has a val_bpb of 0. Experiments may be

- in the answer of `POST /api/experiment/history`, {experiments: […], total}, with or without
  {statusCode, body} around it;
- in a list;
- by id in `data/state_store.db/experiments.bin`, where iii-engine keeps them: a JSON text, followed
  by a few bytes that end its archive.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Final, Literal, TypeAlias

from arnode_plugins.json_text import SPACE, after, is_json, shown_value
from node.exchange.importers import HistoryReader, Importer
from node.store.imported_rows import ImportedLog, ImportedRow, RowReader, Segment, number, shown
from node.store.imported_tables import read_table

_Piece: TypeAlias = tuple[Literal["row", "text"], int, int, Mapping[str, object]]

_FORM: Final = "n-autoresearch"
_BETWEEN: Final = SPACE + ",:"
_MOST_NESTED: Final = 4  # levels that a server wraps around a history
_ARCHIVE_BYTES: Final = 16  # the end of an archive: length and place, padded
_MB_IN_GB: Final = 1024
_SEGMENT: Final = Segment(metric="val_bpb", direction="min")
# An object with one of these keys is an experiment, or the remains of one.
_OF_EXPERIMENTS: Final = frozenset(("commit_sha", "hypothesis", "diff_summary"))
_DECODER: Final = json.JSONDecoder()


def read_history(data: bytes) -> ImportedLog:
    """Return the experiments of a history, or the rows of a table; no rows if there are none."""
    if not is_json(data):
        return replace(read_table(data), form=_FORM)
    # Bytes that are not UTF-8, such as the end of an archive, are preserved.
    text = data.decode("utf-8", "surrogateescape")
    book, at = RowReader(), 0
    start = after(text, 0, SPACE + "\ufeff")
    for kind, begin, end, value in _inside(text, start, _MOST_NESTED):
        book.append_raw(_raw(text, at, begin))
        if kind == "row":
            book.rows.append(_experiment(value, _raw(text, begin, end)))
        else:
            book.append_text(_raw(text, begin, end), text[begin:end], segment=0)
        at = end
    rest = _raw(text, at, len(text))
    if _is_whole(text, start):
        book.append_raw(rest)
    else:
        book.append_text(rest, text[at:], segment=0)
    return book.log(_FORM, [_SEGMENT])


def _inside(text: str, at: int, depth: int) -> Iterator[_Piece]:
    """Yield whole and incomplete experiments from `at` to the end of the enclosing value.

    The enclosing value is an object, a list or the whole file, which may hold several answers in a
    row.
    """
    while (at := after(text, at, _BETWEEN)) < len(text) and text[at] not in "]}":
        try:
            value, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):  # the value is cut off: look inside it
            if depth > 0 and text[at] in "{[":
                yield from _inside(text, at + 1, depth - 1)
            return
        if isinstance(value, dict) and "val_bpb" in value and "status" in value:
            yield "row", at, end, value
        elif isinstance(value, dict) and not _OF_EXPERIMENTS.isdisjoint(value):
            yield "text", at, end, value
        elif isinstance(value, dict | list) and depth > 0:
            yield from _inside(text, at + 1, depth - 1)
        at = end


def _experiment(value: Mapping[str, object], raw: bytes) -> ImportedRow:
    vram_mb = number(shown_value(value.get("peak_vram_mb", "")))
    texts = (shown_value(value.get(name) or "") for name in ("description", "hypothesis", "error"))
    return ImportedRow(
        label=shown_value(value.get("commit_sha") or value.get("id") or ""),
        metric=shown_value(value["val_bpb"]),
        memory_gb=f"{vram_mb / _MB_IN_GB:.1f}" if vram_mb and vram_mb > 0 else "",
        status=shown_value(value["status"]),
        description=shown(": ".join(dict.fromkeys(filter(None, texts)))),
        raw=raw,
    )


def _is_whole(text: str, start: int) -> bool:
    """Return True if a file consists of whole JSON values and at most the end of an archive."""
    at = start
    with suppress(ValueError, RecursionError):
        while at < len(text):
            at = after(text, _DECODER.raw_decode(text, at)[1], SPACE)
    return len(_raw(text, at, len(text))) <= _ARCHIVE_BYTES


def _raw(text: str, begin: int, end: int) -> bytes:
    return text[begin:end].encode("utf-8", "surrogateescape")


IMPORTER: Final = Importer(
    history=HistoryReader(
        summary="""Import n-autoresearch's experiments: a saved history, or a checkout with its
        state.

        A history is the answer of `POST /api/experiment/history`. A checkout's experiments are read
        from data/state_store.db, where iii-engine keeps them.""",
        read=read_history,
        hint="its experiments are JSON with val_bpb and status, in the answer of"
        " `POST /api/experiment/history` or in `data/state_store.db/experiments.bin`",
        files=(
            (
                "data/state_store.db/experiments.bin",
                "state_store.db/experiments.bin",
                "experiments.bin",
            ),
        ),
        has_commits=True,
    )
)
