"""What happened on the network, for one reader that may be slow.

Who came and went is told as a difference (`node.network.presence`), before what they said; of
gossip only so much waits, and what finds the queue full is lost, counted, and left to
reconciliation.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from node.network.limits import PeerId
from node.network.presence import Connected, Presence
from node.processes.carrier import Event, Heard

HEARD_QUEUE: Final = 1024  # of 16 KiB each at most


class Inbox:
    """Keeps events until they are read."""

    def __init__(self) -> None:
        self._presence = Presence()
        self._heard: deque[Heard] = deque()
        self._has_news = asyncio.Event()
        self.lost_messages = 0

    @property
    def peers(self) -> tuple[PeerId, ...]:
        """Who is connected."""
        return self._presence.peers

    def arrive(self, coming: Connected) -> None:
        """A peer is there."""
        self._presence.arrive(coming)
        self._has_news.set()

    def leave(self, peer: PeerId) -> None:
        """A peer has gone."""
        self._presence.leave(peer)
        self._has_news.set()

    def leave_all(self) -> None:
        """Everybody has gone."""
        self._presence.clear()
        self._has_news.set()

    def hear(self, message: Heard) -> None:
        """Keep a message, if there is room."""
        if len(self._heard) >= HEARD_QUEUE:
            self.lost_messages += 1
            return
        self._heard.append(message)
        self._has_news.set()

    async def events(self) -> AsyncIterator[Event]:
        """Yield everybody who is here, then what happens, without end. For one reader."""
        self._presence.forget_told()
        self._heard.clear()
        while True:
            for change in self._presence.changes():
                yield change
            if self._heard:
                yield self._heard.popleft()
                continue
            self._has_news.clear()
            await self._has_news.wait()
