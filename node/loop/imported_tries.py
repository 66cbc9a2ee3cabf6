"""What other tools tried before, by what was imported: no proposer is let try it once more here.

Where a row has its source, that source and its step from the last that was kept are known; where
it has none, its words are read: constants with their numbers, and titles of the task's moves. What
came of it is another tool's word, and decides nothing.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from agent.knobs.changes import Change, edits_of, read_back
from agent.source.canonical import fingerprint
from agent.source.edits import edits_between, reapply
from agent.source.literals import Knob, Scalar, find_knobs
from node.store.blobs import Blobs
from node.store.foreign_rows import KEPT, ForeignLog, word
from node.store.store import Store
from protocol.ideas import Edit
from protocol.source import Source
from trainer.task_folder.task import Task

_MOST_ROWS: Final = 2_000  # the latest
_NUMBER: Final = r"[-+]?(?:\d+\*\*\d+|\d[\d_]*(?:\.\d*)?(?:e[-+]?\d+)?|\.\d+(?:e[-+]?\d+)?)"
# `DEPTH 8 -> 10`, `depth=10`, `depth from 8 to 10`, `raise depth to 10`: the last number is what
# it was set to.
_SET: Final = (
    rf"\W{{0,3}}(?:(?:from|to|is|of|at|=)\s+)?(?P<one>{_NUMBER}|true|false)"
    rf"(?:\s*(?:->|=>|→|to)\s*(?P<two>{_NUMBER}|true|false))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """What is known of one row: its words and, where its source is there, that and its step."""

    words: str
    source: Source | None
    edits: tuple[Edit, ...]


@dataclass
class ImportedTries:
    """Everything imported, met with the source where a node explores: read once, at a start."""

    task: Task
    rows: tuple[_Row, ...] = ()
    _marks: dict[bytes, frozenset[bytes]] = field(default_factory=dict)  # of the latest tree

    @classmethod
    def read(cls, store: Store, blobs: Blobs, task: Task) -> "ImportedTries":
        """Return what this home has of other tools'."""
        rows = [row for one in store.imported.listed() for row in _rows_of(one.log, blobs)]
        return cls(task=task, rows=tuple(rows[-_MOST_ROWS:]))

    def has(self, mark: bytes, working: Source) -> bool:
        """Say whether a canonical AST is one that was tried, or such a step made on `working`."""
        if not self.rows:
            return False
        if working.tree not in self._marks:
            self._marks = {working.tree: frozenset(self._made_on(working))}
        return mark in self._marks[working.tree]

    def _made_on(self, working: Source) -> Iterator[bytes]:
        knobs = {
            knob.name: knob
            for knob in reversed(find_knobs(working, self.task.editable, self.task.knobs))
        }
        moves = {_plain(move.title): move for move in self.task.moves}
        seen = set[tuple[tuple[str, Scalar], ...]]()
        for row in self.rows:
            if row.source is not None:
                yield fingerprint(_within(row.source, working))
                if row.edits and (made := reapply(row.edits, working)):
                    yield fingerprint(made)
                step = read_back(row.edits, self.task.knobs) if row.edits else None
                values = dict(step.after) if step else {}
            else:
                values = dict(_values_in(row.words, knobs.values()))
            settings = tuple(sorted(values.items()))
            if settings and settings not in seen and knobs.keys() >= values.keys():
                seen.add(settings)
                if made := _set(working, [(knobs[name], value) for name, value in settings]):
                    yield fingerprint(made)
            move = moves.get(_plain(row.words))
            if move and (made := reapply(move.edits, working)):
                yield fingerprint(made)


def _rows_of(log: ForeignLog, blobs: Blobs) -> Iterator[_Row]:
    kept: Source | None = None  # the last that was, whose source is there
    for row in log.read:
        source = None if row.tree is None else blobs.get_source(row.tree)
        edits = edits_between(kept, source) if kept and source else ()
        yield _Row(words=row.description, source=source, edits=edits)
        if source is not None and (kept is None or word(row.status) in KEPT):
            kept = source


def _within(source: Source, working: Source) -> Source:
    """Return the working source with the files that a row's source has."""
    made, paths = working, {path for path, _ in working.files}
    for path, data in source.files:
        if path in paths:
            made = made.replacing(path, data)
    return made


def _values_in(words: str, knobs: Iterable[Knob]) -> Iterator[tuple[str, Scalar]]:
    """Yield which constants these words name, each with the value that it was set to."""
    for knob in knobs:
        name = r"[\s_-]?".join(map(re.escape, knob.name.split("_")))
        found = re.search(rf"(?<![A-Za-z0-9_]){name}(?![A-Za-z0-9_]){_SET}", words, re.IGNORECASE)
        value = _value(found["two"] or found["one"], knob.value) if found else None
        if value is not None:
            yield knob.name, value


def _value(text: str, like: Scalar) -> Scalar | None:
    """Return what a number says where such a value stands; None if that can be none there."""
    if isinstance(like, bool):
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower())
    if isinstance(like, str) or text.lower() in ("true", "false"):
        return None
    base, _, power = text.replace("_", "").partition("**")
    number = float(base) ** int(power) if power else float(base)
    if isinstance(like, float):
        return number
    return int(number) if number.is_integer() else None


def _set(working: Source, values: Sequence[tuple[Knob, Scalar]]) -> Source | None:
    changes = [Change(knob, value) for knob, value in values]
    changes = [change for change in changes if not change.does_nothing]
    return reapply(edits_of(working, changes), working) if changes else None


def _plain(title: str) -> str:
    """Return a title's letters and digits alone."""
    return "".join(filter(str.isalnum, title.casefold()))
