"""An importer of autoresearch-mlx's `rigor_ledger.jsonl`, and of its table (autoresearch's format).

Each line of a ledger, {hash, desc, samples, mean, std, status, p_better}, has the runs of one
configuration. A crashed one has a mean of 0, or the mean of the runs before the crash.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from arnode_plugins.json_text import is_json, object_in, shown_value
from node.exchange.importers import HistoryReader, Importer
from node.store.imported_rows import (
    ImportedLog,
    ImportedRow,
    RowReader,
    Segment,
    lines_of,
    number,
    shown,
)
from node.store.imported_tables import read_table

_FORM: Final = "autoresearch-mlx"
_SEGMENT: Final = Segment(metric="val_bpb", direction="min")


def read_history(data: bytes) -> ImportedLog:
    """Return the configurations of a ledger, or the rows of a table; no rows if it is neither."""
    if not is_json(data):
        return replace(read_table(data), form=_FORM)
    book = RowReader()
    for raw, text in lines_of(data):
        value = object_in(text)
        if not text.strip():
            book.append_raw(raw)
        elif value is not None and "mean" in value and "status" in value:
            book.rows.append(_configuration(value, raw))
        else:
            book.append_text(raw, text, segment=0)
    return book.log(_FORM, [_SEGMENT])


def _configuration(value: Mapping[str, object], raw: bytes) -> ImportedRow:
    samples, spread = value.get("samples"), number(shown_value(value.get("std", "")))
    runs = len(samples) if isinstance(samples, list) else 0
    parts = [shown_value(value.get("desc", ""))]
    if runs > 1 and spread is not None:
        parts.append(f"{runs} runs with a standard deviation of {spread:.6f}")
    elif runs:
        parts.append("one run" if runs == 1 else f"{runs} runs")
    if (better := number(shown_value(value.get("p_better", "")))) is not None:
        parts.append(f"better with a chance of {better:g}")
    return ImportedRow(
        label=f"sha1 {shown_value(value.get('hash', ''))}",  # a hash of train.py, not a commit
        metric=shown_value(value["mean"]),
        status=shown_value(value["status"]),
        description=shown("; ".join(filter(None, parts))),
        raw=raw,
    )


IMPORTER: Final = Importer(
    history=HistoryReader(
        summary="""Import autoresearch-mlx's results.tsv or rigor_ledger.jsonl, or both from a
        folder.

        A ledger's figure is the mean of a configuration's runs. If a folder has both files, --json
        prints the second one under `more_files`.""",
        read=read_history,
        hint="its results.tsv has a header, its rigor_ledger.jsonl lines with mean and status",
        files=(("results.tsv",), ("rigor_ledger.jsonl",)),
        has_commits=True,
    )
)
