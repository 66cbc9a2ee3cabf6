"""Filters and orders of the table of experiments, as SQL."""

import re
from dataclasses import dataclass
from typing import Final

_COLUMNS: Final = {
    "metric": "metric_nano",
    "gain": "gain_nano",
    "title": "title COLLATE NOCASE",
    "decision": "decision",
    "stage": "stage",
    "origin": "origin",
    "memory": "peak_mem_bytes",
}
_DIGITS: Final = re.compile("[0-9a-fA-F]{4,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """A filter of rows; None means any.

    `words` must occur in the title, in upper or lower case, or be the first digits of the id. Rows
    must have all `tags`.
    """

    task: bytes | None = None
    hardware_class: str | None = None
    decision: str | None = None
    stage: str | None = None
    origin: str | None = None
    words: str = ""
    tags: tuple[str, ...] = ()
    since_ms: int | None = None

    def sql(self) -> tuple[str, dict[str, object]]:
        """Return the condition of a WHERE clause, and its values by name."""
        in_words = "instr(lower(title), lower(:words))"
        if _DIGITS.fullmatch(self.words):
            in_words = f"({in_words} OR hex(id) LIKE :words || '%')"
        conditions = {
            "task = :task": self.task,
            "class = :class": self.hardware_class,
            "decision = :decision": self.decision,
            "stage = :stage": self.stage,
            "origin = :origin": self.origin,
            in_words: self.words or None,
            **{
                f"id IN (SELECT experiment FROM tag WHERE name = :tag{at})": tag  # noqa: S608 (a number)
                for at, tag in enumerate(self.tags)
            },
            "ts_ms >= :since_ms": self.since_ms,
        }
        values: dict[str, object] = {
            "task": self.task,
            "class": self.hardware_class,
            "decision": self.decision,
            "stage": self.stage,
            "origin": self.origin,
            "words": self.words,
            **{f"tag{at}": tag for at, tag in enumerate(self.tags)},
            "since_ms": self.since_ms,
        }
        where = " AND ".join(one for one, value in conditions.items() if value is not None)
        return where or "1", values


@dataclass(frozen=True, slots=True, kw_only=True)
class SortOrder:
    """An order of rows: by a column, or by the new value of a changed constant (in capitals).

    Rows without a value come last.
    """

    by: str = "ts"
    is_rising: bool = False

    def sql(self) -> tuple[str, str, dict[str, object]]:
        """Return what the order joins, its ORDER BY clause, and its values by name."""
        order = "ASC" if self.is_rising else "DESC"
        if self.by == "ts":
            return "", f"n {order}", {}  # as the index has them
        if column := _COLUMNS.get(self.by):
            return "", f"{column} IS NULL, {column} {order}, n {order}", {}
        join = (
            " LEFT JOIN changed_constant ON changed_constant.patch = experiment.patch"
            " AND changed_constant.name = :constant"
        )
        # Numbers come before other values in both directions, and all before rows without one.
        rising = f"new IS NULL, number IS NULL, number {order}, new {order}, n {order}"
        return join, rising, {"constant": self.by}


NEWEST_FIRST: Final = SortOrder()
