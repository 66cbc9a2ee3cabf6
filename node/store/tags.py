"""Tags: the owner's short words for experiments. The tag `star` marks a favourite.

They are in this home alone. No record has them, so no peer sees them.
"""

import re
from collections.abc import Collection, Sequence
from typing import Final

from node.store.database import Database
from protocol.errors import UsageError

STAR: Final = "star"
MOST_TAGS: Final = 10  # of one experiment
TAG_PATTERN: Final = "[a-z0-9][a-z0-9._-]{0,23}"
_TAG: Final = re.compile(TAG_PATTERN)
_AT_ONCE: Final = 1_000  # values in one statement


class Tags:
    """The table of tags."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def change(
        self, experiment: bytes, *, add: Collection[str] = (), remove: Collection[str] = ()
    ) -> tuple[str, ...]:
        """Add and remove tags of an experiment; return those that it has then.

        Raises UsageError if a tag is no short word, or if there would be too many.
        """
        for name in add:
            if not _TAG.fullmatch(name):
                raise UsageError(
                    f"`{name[:40]}` is not a tag",
                    "use up to 24 lower-case letters, digits, dots, dashes and underscores",
                )
        with self._database.writing():
            kept = {*self.of([experiment]).get(experiment, ())} - {*remove} | {*add}
            if len(kept) > MOST_TAGS:
                raise UsageError(f"an experiment has at most {MOST_TAGS} tags", "remove one first")
            self._database.rows("DELETE FROM tag WHERE experiment = ?", (experiment,))
            for name in sorted(kept):
                self._database.rows("INSERT INTO tag VALUES (?,?)", (experiment, name))
        return tuple(sorted(kept))

    def of(self, experiments: Sequence[bytes]) -> dict[bytes, tuple[str, ...]]:
        """Return the tags of each experiment in order; those without any are left out."""
        found: dict[bytes, tuple[str, ...]] = {}
        for first in range(0, len(experiments), _AT_ONCE):
            some = experiments[first : first + _AT_ONCE]
            places = ",".join("?" * len(some))
            for experiment, name in self._database.rows(
                f"SELECT experiment, name FROM tag WHERE experiment IN ({places})"  # noqa: S608 (constants)
                " ORDER BY experiment, name",
                some,
            ):
                found[experiment] = (*found.get(experiment, ()), name)
        return found
