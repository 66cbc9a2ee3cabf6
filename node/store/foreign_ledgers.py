"""Reads what two systems keep in place of a table, or beside it, of their experiments.

    n-autoresearch    experiments as JSON objects: {id, tag, commit_sha, description, hypothesis,
                      category, val_bpb, peak_vram_mb, status, error, …}, wherever they stand: in
                      what `POST /api/experiment/history` answers, {experiments: […], total}, with
                      or without {statusCode, body} around it; in a list; or by id, as iii-engine
                      keeps them in `data/state_store.db/experiments.bin`, a JSON text behind which
                      its archive ends with a few bytes. One that runs or crashed has a val_bpb of 0
    autoresearch-mlx  `rigor_ledger.jsonl`, lines of {hash, desc, samples, mean, std, status,
                      p_better}: a configuration's runs. One that crashed has a mean of 0, or that
                      of the runs before

Both write autoresearch's table as well, which is read as that.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Final, Literal, TypeAlias, cast

from node.store.foreign_rows import (
    ForeignLog,
    ForeignRow,
    Form,
    RowReader,
    Segment,
    lines_of,
    number,
    shown,
)

_Piece: TypeAlias = tuple[Literal["row", "text"], int, int, Mapping[str, object]]

_SPACE: Final = " \t\r\n"
_BETWEEN: Final = _SPACE + ",:"
_MOST_NESTED: Final = 4  # of what a server wraps a history in
_ARCHIVE_BYTES: Final = 16  # its length and place, padded
_MB_IN_GB: Final = 1024
_SEGMENT: Final = Segment(metric="val_bpb", direction="min")
# An object with one of these names is an experiment, or what is left of one.
_OF_EXPERIMENTS: Final = frozenset(("commit_sha", "hypothesis", "diff_summary"))
_DECODER: Final = json.JSONDecoder()


def is_json(data: bytes) -> bool:
    """Say whether a file begins as JSON does, and not as a table."""
    return data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")


def read_experiments(data: bytes) -> ForeignLog:
    """Return n-autoresearch's experiments; no rows if there are none."""
    # Whatever is no UTF-8, as the end of an archive, comes out as it went in.
    text = data.decode("utf-8", "surrogateescape")
    book, at = RowReader(), 0
    start = _after(text, 0, _SPACE + "\ufeff")
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
    return book.log("n-autoresearch", [_SEGMENT])


def read_ledger(data: bytes) -> ForeignLog:
    """Return the configurations of autoresearch-mlx's rigor_ledger.jsonl; no rows if it is none."""
    book = RowReader()
    for raw, text in lines_of(data):
        value = _object(text)
        if not text.strip():
            book.append_raw(raw)
        elif value is not None and "mean" in value and "status" in value:
            book.rows.append(_configuration(value, raw))
        else:
            book.append_text(raw, text, segment=0)
    return book.log("autoresearch-mlx", [_SEGMENT])


def as_form(log: ForeignLog, form: Form) -> ForeignLog:
    """Return a table as one that another system wrote."""
    return ForeignLog(form=form, segments=log.segments, header=log.header, rows=log.rows)


# n-autoresearch


def _inside(text: str, at: int, depth: int) -> Iterator[_Piece]:
    """Yield the experiments from there to the end of what is open there, and what is left of some.

    That is an object, a list, or the file: whoever saved several answers has them in a row.
    """
    while (at := _after(text, at, _BETWEEN)) < len(text) and text[at] not in "]}":
        try:
            value, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):  # it breaks off in here
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


def _experiment(value: Mapping[str, object], raw: bytes) -> ForeignRow:
    vram_mb = number(_shown(value.get("peak_vram_mb", "")))
    told = (_shown(value.get(name) or "") for name in ("description", "hypothesis", "error"))
    return ForeignRow(
        label=_shown(value.get("commit_sha") or value.get("id") or ""),
        metric=_shown(value["val_bpb"]),
        memory_gb=f"{vram_mb / _MB_IN_GB:.1f}" if vram_mb and vram_mb > 0 else "",
        status=_shown(value["status"]),
        description=shown(": ".join(dict.fromkeys(filter(None, told)))),
        raw=raw,
    )


def _is_whole(text: str, start: int) -> bool:
    """Say whether a file holds whole values, behind which at most an archive ends."""
    at = start
    with suppress(ValueError, RecursionError):
        while at < len(text):
            at = _after(text, _DECODER.raw_decode(text, at)[1], _SPACE)
    return len(_raw(text, at, len(text))) <= _ARCHIVE_BYTES


def _raw(text: str, begin: int, end: int) -> bytes:
    return text[begin:end].encode("utf-8", "surrogateescape")


def _after(text: str, at: int, skipped: str) -> int:
    while at < len(text) and text[at] in skipped:
        at += 1
    return at


# autoresearch-mlx


def _configuration(value: Mapping[str, object], raw: bytes) -> ForeignRow:
    samples, spread = value.get("samples"), number(_shown(value.get("std", "")))
    runs = len(samples) if isinstance(samples, list) else 0
    told = [_shown(value.get("desc", ""))]
    if runs > 1 and spread is not None:
        told.append(f"{runs} runs with a standard deviation of {spread:.6f}")
    elif runs:
        told.append("one run" if runs == 1 else f"{runs} runs")
    if (better := number(_shown(value.get("p_better", "")))) is not None:
        told.append(f"better with a chance of {better:g}")
    return ForeignRow(
        label=f"sha1 {_shown(value.get('hash', ''))}",  # of train.py: no commit
        metric=_shown(value["mean"]),
        status=_shown(value["status"]),
        description=shown("; ".join(filter(None, told))),
        raw=raw,
    )


def _object(text: str) -> dict[str, object] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


def _shown(value: object) -> str:
    return shown(value if isinstance(value, str) else json.dumps(value))
