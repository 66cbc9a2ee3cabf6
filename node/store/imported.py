"""Experiments imported from other tools: unsigned, unverified, and not on any leaderboard.

An imported file is identified by the hash of its bytes, so importing it again changes nothing. A
row's source is stored if the file or the git branch next to it contains that source.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path

from node.home.faults import explaining_faults
from node.store.blobs import BLOB_LIMIT_BYTES, Blobs
from node.store.database import Database
from node.store.imported_rows import ImportedLog, ImportedRow, Segment
from protocol.errors import UsageError
from protocol.source import Source
from trainer.sandbox.untrusted_git import UntrustedRepository

_COMMIT = re.compile("[0-9a-f]{7,40}")
_MAX_COMMITS = 100_000
# The fields of a row that have the same name in the table.
_COLUMNS = ("label", "metric", "memory_gb", "status", "description", "segment", "tree")
_columns_of = attrgetter(*_COLUMNS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """An imported file."""

    id: bytes
    name: str
    log: ImportedLog
    at_ms: int

    def best(self, count: int, segment: int) -> list[ImportedRow]:
        """Return the rows of a segment with the best metrics, without dropped or crashed rows."""
        sign = -1 if self.log.segments[segment].direction == "max" else 1
        valued = [
            (sign * value, number, one)
            for number, one in enumerate(self.log.rows)
            if one.segment == segment and not one.is_dropped and (value := one.value) is not None
        ]
        return [one for _, _, one in sorted(valued, key=lambda entry: entry[:2])[:count]]

    def count(self, segment: int) -> int:
        """Return the number of experiments in a segment."""
        return sum(row.segment == segment for row in self.log.read)


class Imports:
    """All imported files."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(
        self,
        blobs: Blobs,
        log: ImportedLog,
        *,
        name: str,
        at_ms: int,
        sources: Mapping[str, Source],
    ) -> tuple[bytes, bool]:
        """Store a file and the sources of its rows; return its id and whether it is new.

        `sources` maps the labels of rows to their sources.
        """
        identity = hashlib.sha256(log.form.encode() + b"\0" + log.data).digest()
        rows: list[ImportedRow] = []
        for row in log.rows:
            source = sources.get(row.label)
            if row.source is not None:
                source = Source.of({"train.py": row.source})
            rows.append(row if source is None else replace(row, tree=blobs.put_source(source)))
        if self._database.rows("SELECT 1 FROM imported WHERE id = ?", (identity,)):
            return identity, False
        first, *others = log.segments
        with self._database.transaction():
            self._database.rows(
                "INSERT INTO imported (id, form, name, metric, direction, header, at_ms)"
                " VALUES (?,?,?,?,?,?,?)",
                (identity, log.form, name, first.metric, first.direction, log.header, at_ms),
            )
            for number, segment in enumerate(others, 1):
                self._database.rows(
                    "INSERT INTO imported_segment (imported, n, metric, direction)"
                    " VALUES (?,?,?,?)",
                    (identity, number, segment.metric, segment.direction),
                )
            for number, row in enumerate(rows):
                self._database.rows(
                    f"INSERT INTO imported_row (imported, n, {', '.join(_COLUMNS)}, raw, is_read)"  # noqa: S608 (constants)
                    " VALUES (?,?,?,?,?,?,?,?,?,?,?)",
                    (identity, number, *_columns_of(row), row.raw, row.is_read),
                )
        return identity, True

    def listed(self) -> list[Imported]:
        """Return all imported files in the order of import."""
        sets = self._database.rows(
            "SELECT id, form, name, metric, direction, header, at_ms FROM imported"
            " ORDER BY at_ms, id"
        )
        found: list[Imported] = []
        for identity, form, name, metric, direction, header, at_ms in sets:
            others = self._database.rows(
                "SELECT metric, direction FROM imported_segment WHERE imported = ? ORDER BY n",
                (identity,),
            )
            segments = [(metric, direction), *others]
            log = ImportedLog(
                form=form,
                segments=tuple(Segment(metric=one, direction=way) for one, way in segments),
                header=header,
                rows=self._rows(identity),
            )
            found.append(Imported(id=identity, name=name, log=log, at_ms=at_ms))
        return found

    def trees(self) -> Iterator[bytes]:
        """Yield the trees of all imported rows."""
        rows = self._database.stream("SELECT tree FROM imported_row WHERE tree IS NOT NULL")
        return (tree for (tree,) in rows)

    def _rows(self, identity: bytes) -> tuple[ImportedRow, ...]:
        rows = self._database.rows(
            f"SELECT {', '.join(_COLUMNS)}, raw, is_read FROM imported_row"  # noqa: S608 (constants)
            " WHERE imported = ? ORDER BY n",
            (identity,),
        )
        return tuple(
            ImportedRow(**dict(zip(_COLUMNS, columns, strict=True)), raw=raw, is_read=bool(is_read))
            for *columns, raw, is_read in rows
        )


def sources_on_branch(
    repository: Path, branch: str, path: str, labels: set[str]
) -> dict[str, Source]:
    """Return the file at `path` in each labelled commit of a branch, by label.

    A label is the start of a commit id. Files that are too large to store are left out. The
    repository is untrusted: see `trainer.sandbox.untrusted_git`. Raises UsageError if there is no
    such repository or branch, ConfigurationError or SafetyError if it cannot be read safely.
    """
    with explaining_faults(repository):
        found = UntrustedRepository.around(repository)
    commits = None if found is None else found.commits(branch, most=_MAX_COMMITS)
    if found is None or commits is None:
        raise UsageError(
            f"{repository} is not a git repository with a branch `{branch}`",
            "name the branch with --branch; or copy the file into a folder without a repository,"
            " and import it from there",
        )
    named = _commits_by_label(commits, labels)
    asked = {label: f"{commit}:{path}" for label, commit in named.items()}
    blobs = found.blobs(list(asked.values()), limit_bytes=BLOB_LIMIT_BYTES)
    return {label: Source.of({path: blobs[name]}) for label, name in asked.items() if name in blobs}


def _commits_by_label(commits: Iterable[str], labels: Iterable[str]) -> dict[str, str]:
    """Return, for each label, the newest commit whose id begins with it."""
    wanted = {label for label in labels if _COMMIT.fullmatch(label)}
    lengths = sorted({len(label) for label in wanted})
    found: dict[str, str] = {}
    for commit in commits:
        for length in lengths:
            if (label := commit[:length]) in wanted:
                found.setdefault(label, commit)
    return found
