"""The store as the page reads it: beside the node, in a thread of its own.

What it reads is on the disk, so that nothing here touches what the loop is doing. A home whose
store is not there yet is an empty one.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self, TypeVar

from node.home.home import Home
from node.reporting.boards import Leaderboard
from node.store.blobs import Blobs
from node.store.boards import BoardKey
from node.store.store import Store
from protocol.errors import UsageError

T = TypeVar("T")

_MOST_BOARDS = 4  # kept: of each all rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelves:
    """What a reader has at hand, in the library's thread alone."""

    home: Home
    store: Store
    blobs: Blobs
    boards: "KeptBoards"


class KeptBoards:
    """Boards as they were read last, which are read again once something of them has changed."""

    def __init__(self) -> None:
        self._kept: dict[BoardKey, tuple[object, Leaderboard]] = {}

    def get(self, store: Store, key: BoardKey) -> Leaderboard:
        """Return a board. Raises UsageError if its task is not known here."""
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


class Library:
    """Reads a home's store while it is entered."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="web")
        self._open = ExitStack()
        self._shelves: Shelves | None = None
        self._has_store = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._open.close)
        self._thread.shutdown()

    async def read(self, reader: Callable[[Shelves], T]) -> T:
        """Return what a reader finds. Raises what it raises."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: reader(self._at_hand()))

    def _at_hand(self) -> Shelves:
        if self._shelves is None or not self._has_store:
            self._open.close()
            self._has_store = self._home.store.exists()
            store = self._open.enter_context(Store.open_read_only(self._home))
            self._shelves = Shelves(
                home=self._home, store=store, blobs=Blobs(self._home.blobs), boards=KeptBoards()
            )
        return self._shelves
