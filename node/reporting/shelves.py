"""What every document is made of: a home's store and files, and which line or task is meant.

Commands that only print import this for its types, so that what is heavy is imported when used.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from node.home.home import Home
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

_MOST_BOARDS: Final = 4  # kept: of each all rows


class KeptBoards:
    """Boards as they were read last, which are read again once something of them has changed."""

    def __init__(self) -> None:
        self._kept: dict[BoardKey, tuple[object, Leaderboard]] = {}

    def get(self, store: Store, key: BoardKey) -> "Leaderboard":
        """Return a board. Raises UsageError if its task is not known here."""
        from node.reporting.boards import Leaderboard

        version = store.boards.version(key)
        if key in self._kept and self._kept[key][0] == version:
            return self._kept[key][1]
        manifest = store.records.manifest(key.task)
        if manifest is None:
            raise UsageError("that board's task is not known here", "see `arnode task list`")
        self._kept.pop(key, None)
        while len(self._kept) >= _MOST_BOARDS:
            del self._kept[next(iter(self._kept))]
        board = Leaderboard.of(store, key, manifest)
        self._kept[key] = version, board
        return board


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelves:
    """A home, open to be read, and the network in use."""

    home: Home
    net: str
    store: Store
    blobs: Blobs
    boards: KeptBoards

    def task(self, wanted: str | None) -> bytes | None:
        """Return the task of a name or id, None for none. Raises UsageError."""
        if wanted is None:
            return None
        lines = (line.task for line in self.store.experiments.lines())
        return task_named(self.store, wanted, lines)

    def line(self, query: OfLine) -> tuple[LineKey, TaskManifest]:
        """Return the line that is meant, and its task. Raises UsageError if there is none."""
        from node.line.head_by_hand import line_to_show  # and all kinds of job with it

        line, _ = line_to_show(self.store, query.task)
        key = line.key
        if query.hardware_class is not None:
            key = LineKey(task=line.task, hardware_class=query.hardware_class)
            if key not in self.store.experiments.lines():
                where = query.hardware_class
                raise UsageError(f"nothing was measured on {where} here", "see /status")
        manifest = self.store.records.manifest(key.task)
        if manifest is None:
            raise ArnodeError("the line's task is not recorded here", "run `arnode fsck`")
        return key, manifest
