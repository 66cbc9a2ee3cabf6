"""Gossips this node's own records: each in every topic that it belongs to, once it does.

A patch belongs nowhere until a result names it, and then goes with it. What is lost on the way,
or was made while the network was down, reconciliation brings; so it does what belongs to the news
only as half of an equivocation, which nobody would pass on (`node.network.judging`).
"""

import asyncio
from typing import Final

from node.peering.carrier import Carrier
from node.store.records import parsed
from node.store.store import Store
from protocol.topics import belongs, parts_of

PACE_S: Final = 0.005  # faster, the network's queues of 32 drop most of it
_LOOKED_S = 0.1  # most of what a delivery takes
_AT_ONCE = 100


class Publisher:
    """Publishes own records made from now on, in those of `topics` that each belongs to."""

    def __init__(self, carrier: Carrier, store: Store, topics: tuple[str, ...]) -> None:
        self._carrier = carrier
        self._store = store
        self._topics_of_part: dict[str, list[str]] = {}
        for topic in topics:
            for part in parts_of(topic):
                self._topics_of_part.setdefault(part, []).append(topic)
        self._last = store.topics.last_number()

    async def run(self) -> None:
        """Publish own records as they are made; never return."""
        while True:
            if not await self.publish():
                await asyncio.sleep(_LOOKED_S)

    async def publish(self) -> int:
        """Publish some records that were not yet; return how many messages that were."""
        sent, latest = 0, self._store.topics.last_number()
        if latest == self._last:
            return 0
        own = self._store.topics.own_after(self._last, limit=_AT_ONCE)
        # All between were others' records, of which there may be very many.
        self._last = own[-1][0] if len(own) == _AT_ONCE else latest
        for _, part, wire in own:
            record = parsed(wire, is_verified=True)
            for topic in self._topics_of_part.get(part, ()):
                if not belongs(record, topic):
                    continue
                await self._carrier.publish(topic, wire)
                await asyncio.sleep(PACE_S)
                sent += 1
        return sent
