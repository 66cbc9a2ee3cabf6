"""A database is made whole or not at all, and one of another format is refused as it is."""

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from node.commands.cli import main
from node.home.home import Home
from node.maintenance.fsck import examine
from node.store import schema
from node.store.database import Database
from node.store.schema import FORMAT, connect, create, format_of
from node.store.store import Store
from node.terminal.progress import silent
from protocol.errors import ConfigurationError

BROKEN = ("CREATE TABLE note (text TEXT)", "INSERT INTO nowhere VALUES (1)")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records.db"


@pytest.fixture
def database(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(path, writing=True)) as database:
        yield database


def test_a_new_file_is_there_at_once_or_not_at_all(
    path: Path, database: sqlite3.Connection
) -> None:
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        create(database, path, BROKEN)
    assert schema.is_empty(database)
    with closing(Database.open_read_only(path)) as reader:
        assert reader.rows("SELECT * FROM record") == []
    create(database, path)
    assert format_of(database) == FORMAT
    assert not schema.is_empty(database)


def test_what_is_there_stays_when_it_is_opened_again(
    path: Path, database: sqlite3.Connection
) -> None:
    create(database, path)
    database.execute("INSERT INTO meta VALUES ('a', x'01')")
    create(database, path)
    assert database.execute("SELECT * FROM meta").fetchall() == [("a", b"\1")]


def test_commits_are_on_the_disk_before_they_return(database: sqlite3.Connection) -> None:
    assert database.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def _of_format(home: Home, number: int) -> str:
    """Make a home of another format; return what its database's bytes add up to."""
    with Store.open(home):
        pass
    with closing(sqlite3.connect(home.store)) as database:
        database.execute(f"PRAGMA user_version = {number}")
    return hashlib.sha256(home.store.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "use",
    [
        lambda home: Store.open(home).close(),
        lambda home: Store.open_read_only(home).close(),
        lambda home: examine(home, silent),
    ],
    ids=["write", "read", "fsck"],
)
@pytest.mark.parametrize(
    ("number", "fault", "hint"),
    [
        (FORMAT - 1, f"is from an older arnode (format {FORMAT - 1}, now {FORMAT})", "move "),
        (FORMAT + 1, f"was written by a newer arnode (format {FORMAT + 1})", "upgrade arnode"),
    ],
)
def test_a_home_of_another_format_is_refused_and_left_as_it_is(
    home: Home, use: Callable[[Home], object], number: int, fault: str, hint: str
) -> None:
    before = _of_format(home, number)
    with pytest.raises(ConfigurationError) as caught:
        use(home)
    assert fault in caught.value.message
    assert caught.value.hint is not None
    assert caught.value.hint.startswith(hint)
    assert hashlib.sha256(home.store.read_bytes()).hexdigest() == before


@pytest.mark.parametrize("words", [["status"], ["log"], ["start"], ["home", "fsck", "--rebuild"]])
def test_commands_say_so_in_one_error_that_names_the_fix(
    home: Home,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
) -> None:
    before = _of_format(home, FORMAT - 1)
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 6
    output = capsys.readouterr().err
    assert f"hint: move {home.root} away" in output
    assert hashlib.sha256(home.store.read_bytes()).hexdigest() == before
