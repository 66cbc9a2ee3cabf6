"""How what other tools wrote is shown: apart from everything that was signed or measured."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from node.terminal import plain

if TYPE_CHECKING:
    from node.store.imported import Imported, ImportedRow

_ID_DIGITS = 12


def foreign_json(imported: "Imported", rows: "Sequence[ImportedRow]") -> dict[str, object]:
    """Return what scripts read of some rows of an imported file."""
    return {
        "id": imported.id.hex(),
        "name": imported.name,
        "form": imported.log.form,
        "metric": imported.log.metric,
        "direction": imported.log.direction,
        "level": "unsigned",
        "rows": [
            {
                "label": one.row.label,
                "metric": one.row.value,
                "memory_gb": one.row.memory_gb,
                "status": one.row.status,
                "description": one.row.description,
                "tree": None if one.tree is None else one.tree.hex(),
            }
            for one in rows
        ],
    }


def print_foreign(
    imported: "Imported", rows: "Sequence[ImportedRow]", *, color: str, what: str
) -> None:
    """Print some rows of an imported file below a line that says what they are worth."""
    from rich.table import Table
    from rich.text import Text

    from node.terminal import console

    out = console(color)
    out.print()
    out.print(
        f"imported from {plain(imported.name)} ({imported.log.form},"
        f" {imported.id.hex()[:_ID_DIGITS]}): unsigned, unverified, on no board;"
        f" {what} {len(rows)} of {len(imported.rows)}",
        style="bold",
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("commit", "status"):
        table.add_column(name, no_wrap=True)
    table.add_column(plain(imported.log.metric), justify="right", no_wrap=True)
    table.add_column("tree", no_wrap=True)
    table.add_column("description", overflow="fold")
    for one in rows:
        table.add_row(
            Text(plain(one.row.label)),
            Text(plain(one.row.status)),
            "" if one.row.value is None else f"{one.row.value:.6f}",
            "" if one.tree is None else one.tree.hex()[:_ID_DIGITS],
            Text(plain(one.row.description)),
        )
    out.print(table)
