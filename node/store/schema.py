"""The database's tables, and how an older file becomes the present one.

`record` is the truth; `experiment`, `task`, `tally`, `membership` and what `boards` keeps follow
from it and can be rebuilt; `job`, `planned_run`, `line` and `tried` are what the research loop
must still know after a kill, `model_call` what models were asked today, `model_correction` what of
it somebody corrected. Migrations only ever get appended; before one runs, the file is copied.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from protocol.errors import ConfigurationError

# Others' records come in no order of the indexes: each changes half a dozen pages anywhere, and
# one that is changed a hundred times is better written once. Only what is used takes memory.
_CHECKPOINT_PAGES = 8_000  # of 4 KiB
_CACHE_KIB = 16 * 1024
_BUSY_S = 5.0  # how long SQLite itself waits for another program that writes
APPLICATION_ID = 0x61726E6F  # "arno", so that `file` and fsck know whose database it is
_FIRST = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    """CREATE TABLE record (
        n INTEGER PRIMARY KEY,
        id BLOB NOT NULL UNIQUE,
        kind TEXT NOT NULL,
        author BLOB NOT NULL,
        seq INTEGER NOT NULL,
        ts_ms INTEGER NOT NULL,
        own INTEGER NOT NULL,
        wire BLOB NOT NULL)""",
    # Not unique: two records with one (author, seq) are an equivocation, and both are kept.
    "CREATE INDEX record_chain ON record (author, seq)",
    "CREATE INDEX record_kind ON record (kind, ts_ms)",
    "CREATE INDEX record_own ON record (n) WHERE own",
    """CREATE TABLE experiment (
        id BLOB PRIMARY KEY,
        n INTEGER NOT NULL,
        task BLOB NOT NULL,
        class TEXT NOT NULL,
        ts_ms INTEGER NOT NULL,
        title TEXT NOT NULL,
        origin TEXT NOT NULL,
        stage TEXT NOT NULL,
        status TEXT NOT NULL,
        decision TEXT NOT NULL,
        metric_nano INTEGER,
        gain_nano INTEGER,
        peak_mem_bytes INTEGER NOT NULL,
        tree BLOB NOT NULL,
        parent BLOB NOT NULL,
        patch BLOB)""",
    "CREATE INDEX experiment_line ON experiment (task, class, n)",
    """CREATE TABLE line (
        task BLOB NOT NULL,
        class TEXT NOT NULL,
        verified BLOB NOT NULL,
        working BLOB NOT NULL,
        stack BLOB NOT NULL,
        bank BLOB NOT NULL,
        checkpoint_ms INTEGER NOT NULL,
        PRIMARY KEY (task, class)) WITHOUT ROWID""",
    """CREATE TABLE job (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        task BLOB NOT NULL,
        class TEXT NOT NULL,
        kind TEXT NOT NULL,
        state TEXT NOT NULL,
        body BLOB NOT NULL,
        created_ms INTEGER NOT NULL)""",
    "CREATE INDEX job_open ON job (task, class, id) WHERE state = 'open'",
    """CREATE TABLE planned_run (
        job INTEGER NOT NULL REFERENCES job (id),
        ordinal INTEGER NOT NULL,
        role TEXT NOT NULL,
        tree BLOB NOT NULL,
        seed INTEGER NOT NULL,
        outcome BLOB,
        PRIMARY KEY (job, ordinal)) WITHOUT ROWID""",
    """CREATE TABLE tried (
        task BLOB NOT NULL,
        fingerprint BLOB NOT NULL,
        record BLOB,
        PRIMARY KEY (task, fingerprint)) WITHOUT ROWID""",
)
# What the boards read, the boards, and what bounds them all; what others' tools wrote, unsigned.
# `stale`: what follows from the records is to be derived before use.
_SECOND = (
    "ALTER TABLE record ADD COLUMN net TEXT NOT NULL DEFAULT 'main'",
    "ALTER TABLE record ADD COLUMN sort TEXT NOT NULL DEFAULT 'bulk'",
    "CREATE INDEX record_time ON record (net, ts_ms, id)",
    "CREATE INDEX record_sort ON record (author, sort, seq, id)",
    "CREATE TABLE task (id BLOB NOT NULL, record BLOB NOT NULL UNIQUE, PRIMARY KEY (id, record))",
    """CREATE TABLE fact (
        record BLOB PRIMARY KEY,
        net TEXT NOT NULL,
        task BLOB NOT NULL,
        class TEXT NOT NULL,
        author BLOB NOT NULL,
        fact TEXT NOT NULL)""",
    "CREATE INDEX fact_board ON fact (net, task, class, author)",
    "CREATE INDEX fact_author ON fact (author)",
    "CREATE TABLE orphan (record BLOB PRIMARY KEY, task BLOB NOT NULL) WITHOUT ROWID",
    "CREATE INDEX orphan_task ON orphan (task)",
    """CREATE TABLE withdrawal (
        record BLOB PRIMARY KEY,
        author BLOB NOT NULL,
        target BLOB) WITHOUT ROWID""",
    "CREATE INDEX withdrawal_author ON withdrawal (author)",
    """CREATE TABLE equivocation (
        author BLOB PRIMARY KEY,
        seq INTEGER NOT NULL,
        first BLOB NOT NULL,
        second BLOB NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE board (
        net TEXT NOT NULL,
        task BLOB NOT NULL,
        class TEXT NOT NULL,
        fresh INTEGER NOT NULL,
        set_digest BLOB NOT NULL,
        board_digest BLOB NOT NULL,
        PRIMARY KEY (net, task, class)) WITHOUT ROWID""",
    """CREATE TABLE board_row (
        net TEXT NOT NULL,
        task BLOB NOT NULL,
        class TEXT NOT NULL,
        position INTEGER NOT NULL,
        row BLOB NOT NULL,
        PRIMARY KEY (net, task, class, position)) WITHOUT ROWID""",
    """CREATE TABLE tally (
        author BLOB NOT NULL,
        sort TEXT NOT NULL,
        count INTEGER NOT NULL,
        PRIMARY KEY (author, sort)) WITHOUT ROWID""",
    "CREATE TABLE proven (author BLOB PRIMARY KEY) WITHOUT ROWID",
    "CREATE TABLE quarantine (id BLOB PRIMARY KEY, ts_ms INTEGER NOT NULL, wire BLOB NOT NULL)",
    "CREATE INDEX quarantine_time ON quarantine (ts_ms)",
    """CREATE TABLE refused (
        n INTEGER PRIMARY KEY,
        id BLOB NOT NULL UNIQUE,
        net TEXT NOT NULL,
        ts_ms INTEGER NOT NULL)""",
    """CREATE TABLE imported (
        id BLOB PRIMARY KEY,
        form TEXT NOT NULL,
        name TEXT NOT NULL,
        metric TEXT NOT NULL,
        direction TEXT NOT NULL,
        header TEXT NOT NULL,
        at_ms INTEGER NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE imported_row (
        imported BLOB NOT NULL REFERENCES imported (id),
        n INTEGER NOT NULL,
        label TEXT NOT NULL,
        metric TEXT NOT NULL,
        memory_gb TEXT NOT NULL,
        status TEXT NOT NULL,
        description TEXT NOT NULL,
        raw TEXT NOT NULL,
        tree BLOB,
        PRIMARY KEY (imported, n)) WITHOUT ROWID""",
    "INSERT INTO meta VALUES ('stale', x'01')",
)
# Which topic each record belongs to, in the order in which that changed: a number is never used
# again.
_THIRD = (
    """CREATE TABLE membership (
        n INTEGER PRIMARY KEY AUTOINCREMENT,
        topic TEXT NOT NULL,
        ts_ms INTEGER NOT NULL,
        id BLOB NOT NULL,
        held INTEGER NOT NULL,
        UNIQUE (id, topic))""",
    "CREATE INDEX membership_unheld ON membership (topic) WHERE NOT held",
    "CREATE TABLE naming (record BLOB PRIMARY KEY, patch BLOB NOT NULL) WITHOUT ROWID",
    "CREATE INDEX naming_patch ON naming (patch)",
    "INSERT OR REPLACE INTO meta VALUES ('stale', x'01')",
)
# A network's records are read by topic.
_FOURTH = ("DROP INDEX record_time",)
# Each index is half a dozen pages more to write for ten records of others: `record_sort` finds
# what `record_chain` did, and a result's row says which patch it names.
_FIFTH = (
    "DROP INDEX record_chain",
    "DROP TABLE naming",
    "ALTER TABLE record ADD COLUMN patch BLOB",
    "CREATE INDEX record_patch ON record (patch) WHERE patch IS NOT NULL",
    "INSERT OR REPLACE INTO meta VALUES ('stale', x'01')",
)
# What asking models took, day by day (UTC).
_SIXTH = (
    """CREATE TABLE model_call (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        day TEXT NOT NULL,
        ts_ms INTEGER NOT NULL,
        model TEXT NOT NULL,
        state TEXT NOT NULL,
        tokens_in INTEGER NOT NULL,
        tokens_out INTEGER NOT NULL,
        usd_nano INTEGER NOT NULL)""",
    "CREATE INDEX model_call_day ON model_call (day)",
)
# Records that hold hidden characters are nobody's to offer any more: what follows is derived anew.
_SEVENTH = ("INSERT OR REPLACE INTO meta VALUES ('stale', x'01')",)
# A file that was imported has its first metric in `imported`, others in `imported_segment`. From
# here on its header and its rows' `raw` are the bytes that it came as.
_EIGHTH = (
    "ALTER TABLE imported_row ADD COLUMN segment INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE imported_row ADD COLUMN is_read INTEGER NOT NULL DEFAULT 1",
    """CREATE TABLE imported_segment (
        imported BLOB NOT NULL REFERENCES imported (id),
        n INTEGER NOT NULL,
        metric TEXT NOT NULL,
        direction TEXT NOT NULL,
        PRIMARY KEY (imported, n)) WITHOUT ROWID""",
)
# A confirmation under way that has no secret split of its own was on one that others used before:
# its planned runs are made again, with their seeds.
CONFIRM_ANEW = (
    """UPDATE planned_run SET outcome = NULL WHERE job IN
        (SELECT id FROM job WHERE state = 'open' AND split IS NULL AND kind IN
        ('baseline', 'attestation', 'checkpoint', 'catchup', 'remeasure'))""",
    """UPDATE job SET split = randomblob(32) WHERE state = 'open' AND split IS NULL AND kind IN
        ('baseline', 'attestation', 'checkpoint', 'catchup', 'remeasure')""",
)
# Which secret split a job's runs are on.
_NINTH = ("ALTER TABLE job ADD COLUMN split BLOB", *CONFIRM_ANEW)
# What is early is kept within a share of each author.
_TENTH = (
    "ALTER TABLE quarantine ADD COLUMN author BLOB",
    "CREATE INDEX quarantine_author ON quarantine (author, ts_ms)",
)
# Which of them were visits of coding agents, and what somebody found that they really took.
_ELEVENTH = (
    "ALTER TABLE model_call ADD COLUMN visit INTEGER NOT NULL DEFAULT 0",
    """CREATE TABLE model_correction (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        call INTEGER NOT NULL,
        ts_ms INTEGER NOT NULL,
        tokens_in INTEGER NOT NULL,
        tokens_out INTEGER NOT NULL,
        usd_nano INTEGER NOT NULL,
        why TEXT NOT NULL)""",
    "CREATE INDEX model_correction_call ON model_correction (call)",
)
# Which record an attestation, an adoption or a retraction is about: filled in as `EXTRACTS` rises.
_TWELFTH = (
    "ALTER TABLE record ADD COLUMN about BLOB",
    "CREATE INDEX record_about ON record (about) WHERE about IS NOT NULL",
    "CREATE INDEX experiment_patch ON experiment (patch) WHERE patch IS NOT NULL",
)
# Which neighbour a result first came from, by its libp2p id; NULL: from none, or nobody kept it.
_THIRTEENTH = (
    "ALTER TABLE record ADD COLUMN introducer TEXT",
    "ALTER TABLE quarantine ADD COLUMN introducer TEXT",
)
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    *(_FIRST, _SECOND, _THIRD, _FOURTH, _FIFTH, _SIXTH, _SEVENTH, _EIGHTH, _NINTH, _TENTH),
    *(_ELEVENTH, _TWELFTH, _THIRTEENTH),
)


def connect(path: Path | str, *, writing: bool) -> sqlite3.Connection:
    """Open a connection whose commits survive a power cut."""
    uri = path if isinstance(path, str) else f"{path.as_uri()}?{_way(path, writing=writing)}"
    database = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_BUSY_S)
    database.execute("PRAGMA foreign_keys = ON")
    if writing:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    return database


def _way(path: Path, *, writing: bool) -> str:
    """Return how SQLite is to open a file.

    SQLite needs to write files next to a database even to read it. In a read-only folder it cannot,
    unless it is told that nothing changes: https://sqlite.org/wal.html#read_only_databases
    """
    if writing:
        return "mode=rwc"
    log, index = (path.with_name(f"{path.name}-{part}") for part in ("wal", "shm"))
    has_log = log.exists() and log.stat().st_size > 0
    is_settled = not index.exists() and not has_log and not os.access(path.parent, os.W_OK)
    return "mode=ro&immutable=1" if is_settled else "mode=ro"


def version_of(database: sqlite3.Connection) -> int:
    """Return how many migrations the file has seen (0: a new file)."""
    (version,) = database.execute("PRAGMA user_version").fetchone()
    return int(version)


def is_empty(database: sqlite3.Connection) -> bool:
    """Say whether a file is there in which nobody has written anything yet."""
    (count,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return version_of(database) == 0 and count == 0


class OlderStoreError(ConfigurationError):
    """A file that this version reads once it is brought up to date."""


def check_version(database: sqlite3.Connection, path: Path) -> None:
    """Refuse a file that this version cannot read as it is."""
    version = version_of(database)
    _refuse_newer(version, len(MIGRATIONS), path)
    if version < len(MIGRATIONS):
        raise OlderStoreError(
            f"the store {path} is from an older arnode (format {version})",
            "any command that writes brings it up to date: `arnode start`",
        )


def migrate(
    database: sqlite3.Connection,
    path: Path,
    migrations: tuple[tuple[str, ...], ...] = MIGRATIONS,
) -> None:
    """Bring the file up to date, each step in one transaction, after a copy of what was there.

    A new file is made in one: who reads it meanwhile sees nothing of it, or all.
    """
    version = version_of(database)
    _refuse_newer(version, len(migrations), path)
    if 0 < version < len(migrations):
        with closing(sqlite3.connect(backup_path(path, version))) as copy:
            database.backup(copy)
    numbers = range(version, len(migrations))
    for step in [numbers] if not version else [range(one, one + 1) for one in numbers]:
        database.execute("BEGIN IMMEDIATE")
        try:
            # Somebody else may have migrated while this process waited for the lock.
            if version_of(database) == step.start:
                for number in step:
                    for statement in migrations[number]:
                        database.execute(statement)
                database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                database.execute(f"PRAGMA user_version = {step.stop}")
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise


def _refuse_newer(version: int, known: int, path: Path) -> None:
    if version > known:
        raise ConfigurationError(
            f"the store {path} was written by a newer arnode (format {version})",
            "upgrade arnode, or set ARNODE_HOME to another folder",
        )


def backup_path(path: Path, version: int) -> Path:
    """Return where the copy from before migration `version` lies."""
    return path.with_name(f"{path.name}.format-{version}")
