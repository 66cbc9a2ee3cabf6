"""Repair of a damaged store: a new store is built, and the damaged file is kept next to it.

Rows are read from both ends of every table up to the first damage. This node's records in
between are restored from their second copy. Only rows that pass their checks are copied.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from node.home.home import Home
from node.store import jobs
from node.store.database import Database
from node.store.jobs import Line, LineKey
from node.store.store import Store
from protocol.errors import ArnodeError
from protocol.records import Record, parse_record

# Jobs come before their runs. `experiment` is derived again.
_TABLES = (
    *("meta", "record", "line", "job", "planned_run", "tried", "model_call", "model_correction"),
    *("trace", "trace_result"),
    *("quarantine", "imported", "imported_row", "imported_segment", "tag"),
)
Row = dict[str, Any]


def salvage(home: Home) -> list[str]:
    """Replace the damaged store; return what was done. The caller must hold the home's lock."""
    aside = _move_aside(home.store)
    # Opening restores this node's records from their copy, in the order they were made.
    Store.open(home).close()
    new = Database.open(home.store)
    with closing(sqlite3.connect(f"{aside.as_uri()}?mode=ro", uri=True)) as damaged:
        for table in _TABLES:
            keys = new.rows("SELECT name FROM pragma_table_info(?) WHERE pk ORDER BY pk", (table,))
            with new.transaction():
                for row in _rows(damaged, table, [name for (name,) in keys]):
                    _keep(new, table, row)
    new.close()
    with Store.open(home) as store:
        store.rebuild()
        lines = _restore_lines(store)
        own, total = len(store.records.own()), store.records.count()
    return [
        f"store: {total} records are intact, {own} of them this node's",
        f"store: the damaged file is kept as {aside}",
        *lines,
    ]


def _move_aside(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        companion = path.with_name(path.name + suffix)
        if companion.exists():
            companion.rename(aside.with_name(aside.name + suffix))
    return aside


def _rows(damaged: sqlite3.Connection, table: str, key: Sequence[str]) -> Iterator[Row]:
    """Yield the rows before the first damage and those after the last, in the order of the key."""
    found: set[tuple[object, ...]] = set()
    for direction in ("ASC", "DESC"):
        order = ", ".join(f"{column} {direction}" for column in key)
        with suppress(sqlite3.DatabaseError):
            # Read all columns, so that only rows that are readable as a whole count.
            for row in damaged.execute(f"SELECT {', '.join(key)}, * FROM {table} ORDER BY {order}"):  # noqa: S608 (constants)
                found.add(row[: len(key)])
    where = " AND ".join(f"{column} = ?" for column in key)
    for values in sorted(found):
        with suppress(sqlite3.DatabaseError):
            cursor = damaged.execute(f"SELECT * FROM {table} WHERE {where}", values)  # noqa: S608 (constants)
            names = [entry[0] for entry in cursor.description]
            for row in cursor.fetchall():
                yield dict(zip(names, row, strict=True))


def _keep(new: Database, table: str, row: Row) -> None:
    with suppress(ArnodeError, sqlite3.Error, TypeError):
        if _reads(table, row):
            # Records get new numbers, after the own ones from their copy.
            kept = {name: row[name] for name in row if (table, name) != ("record", "n")}
            columns, places = ", ".join(kept), ", ".join(f":{name}" for name in kept)
            new.rows(f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({places})", kept)  # noqa: S608 (constants)


def _reads(table: str, row: Row) -> bool:
    """Return True if a row is valid for its table. May raise an error if it cannot be parsed."""
    match table:
        case "record":
            record = parse_record(row["wire"])
            return isinstance(record, Record) and record.id == row["id"]
        case "line":
            jobs.body_value(row["stack"])
            jobs.body_value(row["reference"])
        case "job":
            jobs.body_value(row["body"])
        case "planned_run" if row["outcome"] is not None:
            jobs.decode_outcome(row["outcome"])
    return True


def _restore_lines(store: Store) -> list[str]:
    """Restore lost lines at their last verified head, according to the records."""
    restored: list[str] = []
    known = {line.key for line in store.jobs.lines()}
    for experiment in store.experiments.listed():
        key = LineKey(task=experiment.task, hardware_class=experiment.hardware_class)
        if key in known or experiment.stage != "baseline":
            continue
        known.add(key)
        adoptions = store.experiments.adoptions(key)
        head = adoptions[-1].body.to_tree if adoptions else experiment.tree
        store.jobs.save_line(
            Line(
                task=key.task,
                hardware_class=key.hardware_class,
                verified=head,
                working=head,
                stack=(),
                reference_nano=(),
                promotion_trial_ms=adoptions[-1].ts_ms if adoptions else experiment.ts_ms,
            )
        )
        restored.append(f"line on {key.hardware_class}: resumes from tree {head.hex()[:12]}")
    return restored
