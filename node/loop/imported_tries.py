"""Trials of other tools that were imported: no proposer may repeat them here.

If a row has a source, its edits are found by comparison with the last kept source. Other rows are
parsed as text: constants with their numbers, and titles of the task's moves. Outcomes are another
tool's statements. They are labelled as such for proposers, and no decision uses them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from agent.hyperparameters.changes import Change, edits_of, read_back
from agent.proposal import Decision, Outcome
from agent.source.canonical import fingerprint
from agent.source.edits import edits_between, reapply
from agent.source.literals import Hyperparameter, Scalar, find_hyperparameters
from node.store.blobs import Blobs
from node.store.imported_rows import CRASHED, KEPT, ImportedLog, ImportedRow, word
from node.store.store import Store
from protocol.ideas import Edit
from protocol.source import Source
from trainer.task_folder.task import Task

IMPORTED: Final = "imported"  # the proposer and the key of imported trials
_MOST_ROWS: Final = 2_000  # the latest
_NUMBER: Final = r"[-+]?(?:\d+\*\*\d+|\d[\d_]*(?:\.\d*)?(?:e[-+]?\d+)?|\.\d+(?:e[-+]?\d+)?)"
# `DEPTH 8 -> 10`, `depth=10`, `depth from 8 to 10`, `raise depth to 10`: the last number is the new
# value.
_SET: Final = (
    rf"\W{{0,3}}(?:(?:from|to|is|of|at|=)\s+)?(?P<one>{_NUMBER}|true|false)"
    rf"(?:\s*(?:->|=>|→|to)\s*(?P<two>{_NUMBER}|true|false))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """The facts of one row: its text, and the outcome that it reports.

    `source` and the `edits` that lead to it are set if available. `gain` is the improvement over
    the last kept row, in the metric's unit; None if unknown or for another metric.
    """

    words: str
    decision: Decision
    metric: float | None
    gain: float | None
    source: Source | None
    edits: tuple[Edit, ...]


@dataclass(frozen=True, kw_only=True)
class _AppliedRows:
    """All rows applied to one source: the edits of each row, empty if unknown."""

    working: Source
    rows: tuple[_Row, ...]
    steps: tuple[tuple[Edit, ...], ...]

    @cached_property
    def marks(self) -> frozenset[bytes]:
        """The fingerprints of the rows' own sources, and of `working` with each row's edits."""
        return frozenset(self._made())

    def _made(self) -> Iterator[bytes]:
        for row in self.rows:
            if row.source is not None:
                yield fingerprint(_within(row.source, self.working))
        for step in set(self.steps):
            if step and (made := reapply(step, self.working)):
                yield fingerprint(made)


@dataclass
class ImportedTries:
    """All imported trials, applied to the source where a node explores; read once at start."""

    task: Task
    rows: tuple[_Row, ...] = ()
    _applied: _AppliedRows | None = None  # for the last source

    @classmethod
    def read(cls, store: Store, blobs: Blobs, task: Task) -> "ImportedTries":
        """Return the trials of other tools that are stored in this home."""
        metric = task.manifest.metric
        rows = [
            row for one in store.imported.listed() for row in _rows_of(one.log, blobs, metric.name)
        ]
        return cls(task=task, rows=tuple(rows[-_MOST_ROWS:]))

    def has(self, mark: bytes, working: Source) -> bool:
        """Return True if a trial had this fingerprint, or its edits on `working` would give it."""
        return bool(self.rows) and mark in self._applied_to(working).marks

    def outcomes(self, working: Source, noise_sd: float) -> tuple[Outcome, ...]:
        """Return the reported outcomes, the oldest first, as edits of `working`."""
        return tuple(
            Outcome(
                key=IMPORTED,
                decision=row.decision,
                gain_sd=None if row.gain is None else row.gain / noise_sd,
                title=row.words,
                proposer=IMPORTED,
                edits=step if row.decision == "failed" or row.gain is not None else (),
                metric=row.metric,
            )
            for row, step in zip(self.rows, self._applied_to(working).steps, strict=True)
        )

    def _applied_to(self, working: Source) -> _AppliedRows:
        """Return the trials as applied to a source.

        Proposers also call this from their own threads.
        """
        applied = self._applied
        if applied is None or applied.working.tree != working.tree:
            found = find_hyperparameters(working, self.task.editable, self.task.hyperparameters)
            hyperparameters = {
                hyperparameter.name: hyperparameter for hyperparameter in reversed(found)
            }
            moves = {_plain(move.title): move.edits for move in self.task.moves}
            steps = tuple(self._step(row, working, hyperparameters, moves) for row in self.rows)
            applied = self._applied = _AppliedRows(working=working, rows=self.rows, steps=steps)
        return applied

    def _step(
        self,
        row: _Row,
        working: Source,
        hyperparameters: Mapping[str, Hyperparameter],
        moves: Mapping[str, tuple[Edit, ...]],
    ) -> tuple[Edit, ...]:
        """Return a row's change as edits of `working`; empty if unknown."""
        move = moves.get(_plain(row.words))
        if row.edits:
            step = read_back(row.edits, self.task.hyperparameters)
            values = dict(step.after) if step else {}
            if not values or not hyperparameters.keys() >= values.keys():
                # Edits of another base often do not apply, where the task's own move does.
                return row.edits if move is None or reapply(row.edits, working) else move
        elif move:
            return move
        else:
            values = dict(_values_in(row.words, hyperparameters.values()))
        changes = [Change(hyperparameters[name], value) for name, value in values.items()]
        changes = [change for change in changes if not change.does_nothing]
        return edits_of(working, changes) if changes else ()


def _rows_of(log: ImportedLog, blobs: Blobs, metric: str) -> Iterator[_Row]:
    kept: Source | None = None  # the last kept source that is available
    best: float | None = None  # the value of the last kept row
    segment = -1
    for row in log.read:
        if row.segment != segment:  # another metric
            segment, best = row.segment, None
        is_kept, log_segment = word(row.status) in KEPT, log.segments[row.segment]
        source = None if row.tree is None else blobs.get_source(row.tree)
        gain = None
        if row.value is not None and best is not None and log_segment.metric == metric:
            gain = row.value - best if log_segment.direction == "max" else best - row.value
        yield _Row(
            words=row.description,
            decision=_decision(row),
            metric=row.value,
            gain=gain,
            source=source,
            edits=edits_between(kept, source) if kept and source else (),
        )
        if source is not None and (kept is None or is_kept):
            kept = source
        if row.value is not None and (best is None or is_kept):
            best = row.value


def _decision(row: ImportedRow) -> Decision:
    if word(row.status) in CRASHED:
        return "failed"
    return "screened_out" if row.is_dropped else "kept"


def _within(source: Source, working: Source) -> Source:
    """Return the working source with its files replaced by those of a row's source."""
    made, paths = working, {path for path, _ in working.files}
    for path, data in source.files:
        if path in paths:
            made = made.replacing(path, data)
    return made


def _values_in(
    words: str, hyperparameters: Iterable[Hyperparameter]
) -> Iterator[tuple[str, Scalar]]:
    """Yield each constant that these words name, with the value that it was set to."""
    for hyperparameter in hyperparameters:
        name = r"[\s_-]?".join(map(re.escape, hyperparameter.name.split("_")))
        found = re.search(rf"(?<![A-Za-z0-9_]){name}(?![A-Za-z0-9_]){_SET}", words, re.IGNORECASE)
        value = _value(found["two"] or found["one"], hyperparameter.value) if found else None
        if value is not None:
            yield hyperparameter.name, value


def _value(text: str, like: Scalar) -> Scalar | None:
    """Parse a number as a value of the same type as `like`; None if it does not fit."""
    if isinstance(like, bool):
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower())
    if isinstance(like, str) or text.lower() in ("true", "false"):
        return None
    base, _, power = text.replace("_", "").partition("**")
    number = float(base) ** int(power) if power else float(base)
    if isinstance(like, float):
        return number
    return int(number) if number.is_integer() else None


def _plain(title: str) -> str:
    """Return only a title's letters and digits."""
    return "".join(filter(str.isalnum, title.casefold()))
