"""Printing of other tools' imported logs, kept apart from everything signed or measured here."""

from collections.abc import Sequence

from node.commands.basics import short
from node.reporting.blocks import figures_column, quoted, table, words_column
from node.reporting.terminal import print_blocks
from node.store.imported import Imported
from node.store.imported_rows import ImportedRow
from node.terminal.terminal import console
from protocol.codecs import plain


def print_imported(imported: Imported, limit: int | None = None) -> None:
    """Print an imported file, or its newest rows, below a heading that says "unverified"."""
    log = imported.log
    out = console()
    for number, segment in reversed(list(enumerate(log.segments))):
        rows = [row for row in log.read if row.segment == number]
        if rows:
            newest = rows[::-1][:limit]
            of = f"the newest {len(newest)} of {len(rows)} rows"
            _print_rows(imported, newest, segment.metric, of)
    texts = [row.description for row in log.rows if not row.is_read]
    if texts:
        newest_lines = list(zip(log.text_lines, texts, strict=True))[::-1][:limit]
        out.print(
            f"other lines, which describe no experiment: the newest {len(newest_lines)}"
            f" of {len(texts)}",
            style="bold",
        )
        for line, text in newest_lines:
            out.print(f"line {line}: {plain(text)}")


def print_best(imported: Imported, segment: int, count: int) -> None:
    """Print the best imported rows of one hardware class, marked as unverified."""
    rows = imported.best(count, segment)
    of = f"the best {len(rows)} of {imported.count(segment)} rows"
    _print_rows(imported, rows, imported.log.segments[segment].metric, of)


def _print_rows(imported: Imported, rows: Sequence[ImportedRow], metric: str, of: str) -> None:
    out = console()
    out.print()
    out.print(
        f"imported from {plain(imported.name)} ({imported.log.form},"
        f" {short(imported.id)}): unsigned, unverified, not ranked; {of}",
        style="bold",
    )
    columns = (
        *map(words_column, ("commit", "status")),
        figures_column(quoted(metric)),
        words_column("tree"),
        words_column("description", wraps=True),
    )
    cells = [
        (
            quoted(one.label),
            quoted(one.status),
            "" if one.value is None else f"{one.value:.6f}",
            "" if one.tree is None else short(one.tree),
            quoted(one.description),
        )
        for one in rows
    ]
    print_blocks(out, table(columns, cells))
