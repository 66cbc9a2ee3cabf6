"""The store as the page reads it: beside the node, in a thread of its own.

What it reads is on the disk, so that nothing here touches what the loop is doing. A home whose
store is not there yet is an empty one.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Self, TypeVar

from node.home.home import Home
from node.reporting.shelves import KeptBoards, Shelves
from node.store.blobs import Blobs
from node.store.store import Store

T = TypeVar("T")


class Library:
    """Reads a home's store while it is entered; `net` is the network in use."""

    def __init__(self, home: Home, net: str) -> None:
        self._home = home
        self._net = net
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
                home=self._home,
                net=self._net,
                store=store,
                blobs=Blobs(self._home.blobs),
                boards=KeptBoards(),
            )
        return self._shelves
