"""The database's tables.

`record` is the source of truth. `experiment`, `changed_constant`, `task`, `record_counts`,
`membership` and the tables of `boards` are derived from it and can be rebuilt. `job`,
`planned_run`, `line` and `tried` are what the research loop needs after a kill. `model_call` has
the calls of models, and `model_correction` the user's corrections of their cost. `tag` has the
owner's tags. `trace` has what was said and done in visits of models and agents, and `trace_result`
the experiments that came from them.
"""

import os
import sqlite3
from pathlib import Path
from typing import Final

from protocol.errors import ConfigurationError

# Peers' records arrive in no order of the indexes, so each changes half a dozen random pages. It is
# cheaper to write a page once after a hundred changes. Only used pages take memory.
_CHECKPOINT_PAGES = 8_000  # of 4 KiB
_CACHE_KIB = 16 * 1024
_BUSY_S = 5.0  # how long SQLite itself waits while another program writes
APPLICATION_ID = 0x61726E6F  # "arno", so that `file` and fsck recognise the database
FORMAT: Final = 16  # of the whole home; raised with every change that older code cannot read
_READS: Final = {14: "edec47a3", 15: "9adde69f"}  # the last commit that can read a format
_READS_OLDER: Final = "1be73a42"  # the commit that can read all earlier formats
_SCHEMA: Final = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    # `patch`: the patch that a result names. `about`: the record that a re-run, an adoption or a
    # retraction is about. `introducer`: the libp2p id of the neighbour that first sent a result.
    """CREATE TABLE record (
        n INTEGER PRIMARY KEY,
        id BLOB NOT NULL UNIQUE,
        kind TEXT NOT NULL,
        author BLOB NOT NULL,
        seq INTEGER NOT NULL,
        ts_ms INTEGER NOT NULL,
        own INTEGER NOT NULL,
        wire BLOB NOT NULL,
        net TEXT NOT NULL,
        sort TEXT NOT NULL,
        patch BLOB,
        about BLOB,
        introducer TEXT)""",
    # Each index costs half a dozen more page writes per ten records of peers. `record_sort` also
    # finds records by author and number. Two with one number are an equivocation; both are kept.
    "CREATE INDEX record_sort ON record (author, sort, seq, id)",
    "CREATE INDEX record_kind ON record (kind, ts_ms)",
    "CREATE INDEX record_own ON record (n) WHERE own",
    "CREATE INDEX record_patch ON record (patch) WHERE patch IS NOT NULL",
    "CREATE INDEX record_about ON record (about) WHERE about IS NOT NULL",
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
    "CREATE INDEX experiment_patch ON experiment (patch) WHERE patch IS NOT NULL",
    # The old and new value of each constant that a patch changed; `number` if the new one is one.
    """CREATE TABLE changed_constant (
        patch BLOB NOT NULL,
        name TEXT NOT NULL,
        old TEXT NOT NULL,
        new TEXT NOT NULL,
        number REAL,
        PRIMARY KEY (patch, name)) WITHOUT ROWID""",
    """CREATE TABLE tag (
        experiment BLOB NOT NULL,
        name TEXT NOT NULL,
        PRIMARY KEY (experiment, name)) WITHOUT ROWID""",
    "CREATE INDEX tag_name ON tag (name, experiment)",
    """CREATE TABLE line (
        task BLOB NOT NULL,
        class TEXT NOT NULL,
        verified BLOB NOT NULL,
        working BLOB NOT NULL,
        stack BLOB NOT NULL,
        reference BLOB NOT NULL,
        promotion_trial_ms INTEGER NOT NULL,
        PRIMARY KEY (task, class)) WITHOUT ROWID""",
    # `split`: the secret split of the job's runs.
    """CREATE TABLE job (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        task BLOB NOT NULL,
        class TEXT NOT NULL,
        kind TEXT NOT NULL,
        state TEXT NOT NULL,
        body BLOB NOT NULL,
        created_ms INTEGER NOT NULL,
        split BLOB)""",
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
    # Leaderboards with the facts they are computed from, and the tables that limit their size.
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
    """CREATE TABLE record_counts (
        author BLOB NOT NULL,
        sort TEXT NOT NULL,
        count INTEGER NOT NULL,
        PRIMARY KEY (author, sort)) WITHOUT ROWID""",
    "CREATE TABLE proven (author BLOB PRIMARY KEY) WITHOUT ROWID",
    # Records with a time in the future, within a share of each author.
    """CREATE TABLE quarantine (
        id BLOB PRIMARY KEY,
        ts_ms INTEGER NOT NULL,
        wire BLOB NOT NULL,
        author BLOB NOT NULL,
        introducer TEXT)""",
    "CREATE INDEX quarantine_time ON quarantine (ts_ms)",
    "CREATE INDEX quarantine_author ON quarantine (author, ts_ms)",
    """CREATE TABLE refused (
        n INTEGER PRIMARY KEY,
        id BLOB NOT NULL UNIQUE,
        net TEXT NOT NULL,
        ts_ms INTEGER NOT NULL)""",
    # The topics of each record, in the order of changes. A number is never used again.
    """CREATE TABLE membership (
        n INTEGER PRIMARY KEY AUTOINCREMENT,
        topic TEXT NOT NULL,
        ts_ms INTEGER NOT NULL,
        id BLOB NOT NULL,
        held INTEGER NOT NULL,
        UNIQUE (id, topic))""",
    "CREATE INDEX membership_unheld ON membership (topic) WHERE NOT held",
    # Unsigned files of other tools. A file's first metric is in `imported`, others are in
    # `imported_segment`. The header and each row's `raw` are the original bytes.
    """CREATE TABLE imported (
        id BLOB PRIMARY KEY,
        form TEXT NOT NULL,
        name TEXT NOT NULL,
        metric TEXT NOT NULL,
        direction TEXT NOT NULL,
        header BLOB NOT NULL,
        at_ms INTEGER NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE imported_segment (
        imported BLOB NOT NULL REFERENCES imported (id),
        n INTEGER NOT NULL,
        metric TEXT NOT NULL,
        direction TEXT NOT NULL,
        PRIMARY KEY (imported, n)) WITHOUT ROWID""",
    """CREATE TABLE imported_row (
        imported BLOB NOT NULL REFERENCES imported (id),
        n INTEGER NOT NULL,
        label TEXT NOT NULL,
        metric TEXT NOT NULL,
        memory_gb TEXT NOT NULL,
        status TEXT NOT NULL,
        description TEXT NOT NULL,
        raw BLOB NOT NULL,
        tree BLOB,
        segment INTEGER NOT NULL,
        is_read INTEGER NOT NULL,
        PRIMARY KEY (imported, n)) WITHOUT ROWID""",
    # The cost of model calls by day (UTC), which of them were visits of coding agents, and the
    # user's corrections.
    """CREATE TABLE model_call (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        day TEXT NOT NULL,
        ts_ms INTEGER NOT NULL,
        model TEXT NOT NULL,
        state TEXT NOT NULL,
        tokens_in INTEGER NOT NULL,
        tokens_out INTEGER NOT NULL,
        usd_nano INTEGER NOT NULL,
        visit INTEGER NOT NULL)""",
    "CREATE INDEX model_call_day ON model_call (day)",
    """CREATE TABLE model_correction (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        call INTEGER NOT NULL,
        ts_ms INTEGER NOT NULL,
        tokens_in INTEGER NOT NULL,
        tokens_out INTEGER NOT NULL,
        usd_nano INTEGER NOT NULL,
        why TEXT NOT NULL)""",
    "CREATE INDEX model_correction_call ON model_correction (call)",
    # A visit of a model or a coding agent. `refusal` is empty if it led to a proposal. `body` has
    # its steps. Private: no record, bundle or export has any of it.
    """CREATE TABLE trace (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        ts_ms INTEGER NOT NULL,
        task BLOB NOT NULL,
        proposer TEXT NOT NULL,
        title TEXT NOT NULL,
        refusal TEXT NOT NULL,
        reason TEXT NOT NULL,
        is_answered INTEGER NOT NULL,
        ms INTEGER NOT NULL,
        calls INTEGER NOT NULL,
        tokens_in INTEGER NOT NULL,
        tokens_out INTEGER NOT NULL,
        usd_nano INTEGER NOT NULL,
        body BLOB NOT NULL)""",
    """CREATE TABLE trace_result (
        result BLOB PRIMARY KEY,
        trace INTEGER NOT NULL REFERENCES trace (id) ON DELETE CASCADE) WITHOUT ROWID""",
    "CREATE INDEX trace_result_trace ON trace_result (trace)",
)


def connect(path: Path | str, *, writing: bool) -> sqlite3.Connection:
    """Open a connection. With `writing`, its commits survive a power cut."""
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
    """Return the URI options with which SQLite opens a file.

    SQLite must write files next to a database even to read it. In a read-only folder it can read
    only if told that the file never changes: https://sqlite.org/wal.html#read_only_databases
    """
    if writing:
        return "mode=rwc"
    log, index = (path.with_name(f"{path.name}-{part}") for part in ("wal", "shm"))
    has_log = log.exists() and log.stat().st_size > 0
    is_settled = not index.exists() and not has_log and not os.access(path.parent, os.W_OK)
    return "mode=ro&immutable=1" if is_settled else "mode=ro"


def format_of(database: sqlite3.Connection) -> int:
    """Return the number of a file's format, 0 if nothing was written to the file yet."""
    (number,) = database.execute("PRAGMA user_version").fetchone()
    return int(number)


def is_empty(database: sqlite3.Connection) -> bool:
    """Return True if nothing was written to the file yet."""
    (count,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return format_of(database) == 0 and count == 0


def require_format(database: sqlite3.Connection, path: Path) -> None:
    """Raise ConfigurationError if this version cannot read the file's format."""
    number = format_of(database)
    if number > FORMAT:
        raise ConfigurationError(
            f"the store {path} was written by a newer arnode (format {number})",
            "upgrade arnode, or set ARNODE_HOME to another folder",
        )
    if number < FORMAT:
        raise ConfigurationError(
            f"the store {path} is from an older arnode (format {number}, now {FORMAT}), and was"
            " not changed",
            f"move {path.parent} away, or read it with arnode's commit"
            f" {_READS.get(number, _READS_OLDER)}",
        )


def create(database: sqlite3.Connection, path: Path, statements: tuple[str, ...] = _SCHEMA) -> None:
    """Create the tables if the file is empty, all or none.

    Raises ConfigurationError if the file has another format.
    """
    if is_empty(database):
        database.execute("BEGIN IMMEDIATE")
        try:
            # Another process may have created them while this one waited for the lock.
            if is_empty(database):
                for statement in statements:
                    database.execute(statement)
                database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                database.execute(f"PRAGMA user_version = {FORMAT}")
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise
    require_format(database, path)
