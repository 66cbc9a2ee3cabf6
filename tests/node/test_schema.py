"""A file from an older version is brought up to date, after a copy of what was there."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from node.store import schema
from node.store.database import Database
from node.store.schema import backup_path, connect, migrate, version_of

OLD = (("CREATE TABLE note (text TEXT)",),)
NEW = (*OLD, ("ALTER TABLE note ADD COLUMN color TEXT", "UPDATE note SET color = 'blue'"))
BROKEN = (*OLD, ("UPDATE note SET text = 'lost'", "INSERT INTO nowhere VALUES (1)"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records.db"


@pytest.fixture
def database(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(path, writing=True)) as database:
        migrate(database, path, OLD)
        database.execute("INSERT INTO note VALUES ('kept')")
        yield database


def test_a_new_file_needs_no_copy(path: Path, database: sqlite3.Connection) -> None:
    assert version_of(database) == 1
    assert list(path.parent.glob("*format*")) == []


def test_an_old_file_is_copied_and_brought_up_to_date(
    path: Path, database: sqlite3.Connection
) -> None:
    migrate(database, path, NEW)
    assert version_of(database) == 2
    assert database.execute("SELECT * FROM note").fetchall() == [("kept", "blue")]
    with closing(sqlite3.connect(backup_path(path, 1))) as copy:
        assert copy.execute("SELECT * FROM note").fetchall() == [("kept",)]
        assert version_of(copy) == 1


def test_a_failed_step_changes_nothing(path: Path, database: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        migrate(database, path, BROKEN)
    assert version_of(database) == 1
    assert database.execute("SELECT * FROM note").fetchall() == [("kept",)]


def test_a_new_file_is_there_at_once_or_not_at_all(path: Path) -> None:
    with closing(connect(path, writing=True)) as database:
        with pytest.raises(sqlite3.OperationalError, match="nowhere"):
            migrate(database, path, BROKEN)
        assert schema.is_empty(database)
        assert Database.open_read_only(path).rows("SELECT * FROM record") == []
        migrate(database, path, NEW)
        assert version_of(database) == 2
        assert not schema.is_empty(database)


def test_commits_are_on_the_disk_before_they_return(database: sqlite3.Connection) -> None:
    assert database.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_the_shipped_migrations_make_every_table(tmp_path: Path) -> None:
    with closing(connect(tmp_path / "new.db", writing=True)) as database:
        migrate(database, tmp_path / "new.db")
        schema.check_version(database, tmp_path / "new.db")
        rows = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    assert {
        "record",
        "experiment",
        "line",
        "job",
        "planned_run",
        "tried",
        "model_call",
        "meta",
    } <= {row[0] for row in rows}
