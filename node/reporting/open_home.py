"""Access to the data of all documents: a home's store and files, and the line or task to show.

Commands that only print import this module for its types. So that these commands start fast, this
module imports heavy modules only inside functions.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from node.home.home import Home
from node.reporting.company import Companies
from node.reporting.queries import OfLine
from node.store.blobs import Blobs
from node.store.boards import BoardKey
from node.store.jobs import LineKey
from node.store.named_tasks import task_named
from node.store.store import Store
from protocol.errors import ArnodeError, UsageError
from protocol.manifest import TaskManifest

if TYPE_CHECKING:
    from node.reporting.boards import Leaderboard

_MOST_BOARDS: Final = 4  # cached, each with all its rows


class BoardCache:
    """A cache of leaderboards. A leaderboard is computed again after its records changed."""

    def __init__(self) -> None:
        self._kept: dict[BoardKey, tuple[object, Leaderboard]] = {}

    def get(self, store: Store, key: BoardKey) -> "Leaderboard":
        """Return a leaderboard. Raises UsageError if its task is not known here."""
        from node.reporting.boards import Leaderboard

        version = store.boards.version(key)
        if key in self._kept and self._kept[key][0] == version:
            return self._kept[key][1]
        manifest = store.records.manifest(key.task)
        if manifest is None:
            raise UsageError("this leaderboard's task is unknown here", "see `arnode task list`")
        self._kept.pop(key, None)
        while len(self._kept) >= _MOST_BOARDS:
            del self._kept[next(iter(self._kept))]
        board = Leaderboard.of(store, key, manifest)
        self._kept[key] = version, board
        return board


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenHome:
    """A home, open for reading, and the network in use, "" if no leaderboard is read.

    `recorded_ms` is the end of a recording, None if the home is in use.
    """

    home: Home
    store: Store
    blobs: Blobs
    net: str = ""
    boards: BoardCache = field(default_factory=BoardCache)
    companies: Companies = field(default_factory=Companies)
    recorded_ms: int | None = None

    def task(self, wanted: str | None) -> bytes | None:
        """Return the id of a task given by name or id; None if none is given.

        Raises UsageError if no task matches, or several do.
        """
        if wanted is None:
            return None
        lines = (line.task for line in self.store.experiments.lines())
        return task_named(self.store, wanted, lines)

    def line(self, query: OfLine) -> tuple[LineKey, TaskManifest]:
        """Return the line that a query names, and its task.

        Raises UsageError if this node has no such line, ArnodeError if its task is not stored.
        """
        from node.line.head_by_hand import line_to_show  # heavy: imports all kinds of jobs

        line, _ = line_to_show(self.store, query.task)
        key = line.key
        if query.hardware_class is not None:
            key = LineKey(task=line.task, hardware_class=query.hardware_class)
            if key not in self.store.experiments.lines():
                where = query.hardware_class
                raise UsageError(
                    f"nothing was measured on {where} here", "GET /status lists the lines"
                )
        manifest = self.store.records.manifest(key.task)
        if manifest is None:
            raise ArnodeError("the line's task is missing here", "run `arnode home fsck`")
        return key, manifest
