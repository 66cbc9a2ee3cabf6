"""Imported files of other tools as JSON: unsigned, and apart from this node's measurements."""

from dataclasses import asdict
from typing import TypedDict

from node.store.imported import Imported
from node.store.imported_rows import ImportedRow


class ImportedRowDocument(TypedDict):
    """One row of another tool's file."""

    label: str
    metric: float | None
    memory_gb: str
    status: str
    description: str
    tree: str | None


def imported_document(imported: Imported) -> dict[str, object]:
    """Return an imported file as JSON: its experiments, and the lines that could not be read."""
    log = imported.log
    texts = zip(log.text_lines, (row for row in log.rows if not row.is_read), strict=True)
    return {
        **_named(imported),
        "metric": log.segments[-1].metric,
        "direction": log.segments[-1].direction,
        "segments": [asdict(segment) for segment in log.segments],
        "rows": [{**_row_document(row), "segment": row.segment} for row in log.read],
        "text": [{"line": line, "text": row.description} for line, row in texts],
    }


def best_document(imported: Imported, segment: int, count: int) -> dict[str, object]:
    """Return the best `count` rows of one segment of an imported file as JSON.

    A segment is a group of rows with the same metric.
    """
    return {
        **_named(imported),
        **asdict(imported.log.segments[segment]),
        "segment": segment,
        "rows": [_row_document(one) for one in imported.best(count, segment)],
    }


def _named(imported: Imported) -> dict[str, object]:
    return {
        "id": imported.id.hex(),
        "name": imported.name,
        "form": imported.log.form,
        "level": "unsigned",
    }


def _row_document(one: ImportedRow) -> ImportedRowDocument:
    return {
        "label": one.label,
        "metric": one.value,
        "memory_gb": one.memory_gb,
        "status": one.status,
        "description": one.description,
        "tree": None if one.tree is None else one.tree.hex(),
    }
