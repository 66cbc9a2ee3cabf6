"""The choice of peers to fetch records from, and when.

This node fetches what it lacks (`exchange.py`) when a hello shows that a peer's set for a topic
differs, and in full every half hour. It does not push what the peer lacks: this node's next hello
shows the peer the difference. At most one exchange per peer and four in total are in progress at a
time. An exchange that brought nothing new doubles the wait for the next one. It is not repeated
while the two sets differ by the same ids. So a liar, or a peer that has records that this node
refused, causes little work.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from node.home.addresses import PeerId
from node.network.errors import NetworkError
from node.network.peer_budgets import PEERS_TRACKED, Recent
from node.peering.carrier import Carrier
from node.peering.exchange import Exchange
from node.peering.ingest import Ingest
from node.peering.messages import Hello, TopicDigest
from node.peering.service_quota import Misbehaviour
from node.store.store import Store
from node.store.topics import TopicIndexes
from protocol.errors import ArnodeError, Rejected
from protocol.topics import is_of_tasks, rank_of

MOST_AT_ONCE: Final = 4
TOPICS_AT_ONCE: Final = 2
EXCHANGE_LIMIT_S: Final = 300.0
SHORTEST_WAIT_S = 10.0
LONGEST_WAIT_S = 30 * 60.0
RECONNECTED_WAIT_S = 60.0  # else the longest waits would outlast a partition
_MODULUS = 1 << 256
_log = logging.getLogger("node.peering")


@dataclass(kw_only=True)
class SyncPace:
    """The pace of exchanges with a peer: when the next one may begin, in seconds of the clock.

    The wait doubles with each exchange that brought nothing new. It outlives a connection, so that
    reconnecting does not shorten it.

    `settled` holds, for each topic, the difference of the two sets (`_gap`) after an exchange that
    brought nothing. While the difference is the same, asking again brings nothing either.
    """

    not_before_s: float = 0.0
    ended_s: float = 0.0
    wait_s: float = SHORTEST_WAIT_S
    full_at_s: float = 0.0
    settled: dict[str, tuple[int, int]] = field(default_factory=dict)

    def ended(self, now_s: float, *, brought: int) -> None:
        """Record the end of an exchange, and how many new records it brought."""
        self.wait_s = SHORTEST_WAIT_S if brought else min(2 * self.wait_s, LONGEST_WAIT_S)
        self.ended_s = now_s
        self.not_before_s = now_s + self.wait_s

    def reconnected(self) -> None:
        """Sync again soon: there may be much to fetch after the peer's absence."""
        self.not_before_s = min(self.not_before_s, self.ended_s + RECONNECTED_WAIT_S)


class Syncer:
    """A fetcher of records that peers have (`/arnode/sync/1`). `clock` is in seconds."""

    def __init__(
        self,
        carrier: Carrier,
        store: Store,
        indexes: TopicIndexes,
        misbehaviour: Misbehaviour,
        *,
        ingest: Ingest,
        clock: Callable[[], float],
    ) -> None:
        self._carrier = carrier
        self._store = store
        self._indexes = indexes
        self._misbehaviour = misbehaviour
        self._ingest = ingest
        self._clock = clock
        self._paces: Recent[PeerId, SyncPace] = Recent(PEERS_TRACKED)
        self._due: dict[PeerId, Mapping[str, TopicDigest]] = {}  # in the order of arrival
        self._busy: set[PeerId] = set()
        self._streamed: set[str] = set()
        self.first_sync_done = asyncio.Event()  # set once everything that one peer has was fetched
        self._is_due = asyncio.Event()

    def pace_of(self, peer: PeerId) -> SyncPace:
        """Return a peer's pace, which may be changed in place."""
        pace = self._paces[peer] = self._paces.get(peer) or SyncPace()
        return pace

    def consider(self, peer: PeerId, hello: Hello) -> None:
        """Queue an exchange with a peer if its hello shows that there may be something to fetch."""
        differing = self.differing(peer, hello.digests)
        if peer not in self._busy and differing:
            self._due[peer] = differing
            self._is_due.set()
        else:
            self._due.pop(peer, None)

    def on_connect(self, peer: PeerId) -> None:
        """Record that a peer is connected."""
        self.pace_of(peer).reconnected()

    def on_disconnect(self, peer: PeerId) -> None:
        """Record that a peer has gone."""
        self._due.pop(peer, None)

    def differing(self, peer: PeerId, theirs: Mapping[str, TopicDigest]) -> dict[str, TopicDigest]:
        """Return a peer's digests of the topics in which there may be something to fetch now."""
        pace, now_s = self.pace_of(peer), self._clock()
        if now_s < pace.not_before_s:
            return {}
        ours = self._indexes.digests()
        common = {topic: digest for topic, digest in theirs.items() if topic in ours}
        if now_s >= pace.full_at_s:
            return common
        return {
            topic: digest
            for topic, digest in common.items()
            if digest != ours[topic]
            and not self._indexes.was(topic, digest)
            and _gap(ours[topic], digest) != pace.settled.get(topic)
        }

    async def run(self) -> None:
        """Exchange records with the peers that are due. Never returns."""
        async with asyncio.TaskGroup() as workers:
            for _ in range(MOST_AT_ONCE):
                workers.create_task(self._work())

    async def exchange(self, peer: PeerId, theirs: Mapping[str, TopicDigest]) -> int:
        """Fetch the missing records of these topics from a peer; return the number of new ones."""
        if peer in self._busy:
            return 0
        self._busy.add(peer)
        pace, before, left_out = self.pace_of(peer), self._indexes.digests(), 0

        async def take(wires: Sequence[bytes]) -> int:
            nonlocal left_out
            ingested = await self._ingest.ingest(peer, wires)
            left_out += ingested.left_out
            if ingested.rejected:
                why = f"an invalid record: {ingested.rejected[0]}"
                await self._misbehaviour.blame(peer, why, times=len(ingested.rejected))
            return ingested.new

        talk = Exchange(
            self._carrier, self._store, self._indexes, peer, take=take, streamed=self._streamed
        )
        try:
            async with asyncio.timeout(EXCHANGE_LIMIT_S):
                if await self._is_through(talk, peer, theirs) and not left_out:
                    self.first_sync_done.set()
                    pace.full_at_s = self._clock() + LONGEST_WAIT_S
                    if not talk.brought:
                        gaps = {name: _gap(before[name], theirs[name]) for name in theirs}
                        pace.settled.update(gaps)
        except TimeoutError:
            _log.info("peer %s: its records took more than %d s", peer, EXCHANGE_LIMIT_S)
        except NetworkError as fault:
            _log.info("peer %s: %s", peer, fault.message)
        except ArnodeError as fault:  # a fault of this store: the peer is not to blame
            _log.warning("records from peers were not saved: %s (%s)", fault.message, fault.hint)
        finally:
            self._busy.discard(peer)
            pace.ended(self._clock(), brought=talk.brought)
        return talk.brought

    async def _work(self) -> None:
        while True:
            while not self._due:
                self._is_due.clear()
                await self._is_due.wait()
            peer = next(iter(self._due))
            await self.exchange(peer, self._due.pop(peer))

    async def _is_through(
        self, talk: Exchange, peer: PeerId, theirs: Mapping[str, TopicDigest]
    ) -> bool:
        """Fetch all topics; return True if nothing was left out and the peer committed no fault.

        Topics of tasks come first, since claims on an unknown task would have to wait. Then two
        topics are fetched at a time: while one waits for its last answers, the other keeps the
        parser and the store busy.
        """
        ours = self._indexes.digests()
        # Differing topics come first, so that an exchange that is cut short still brings something.
        ranked = sorted(theirs, key=lambda name: (theirs[name] == ours[name], *rank_of(name)))
        tasks = deque(name for name in ranked if is_of_tasks(name))
        others = deque(name for name in ranked if not is_of_tasks(name))

        async def fetch_some(topics: deque[str]) -> Rejected | None:
            try:
                while topics:
                    topic = topics.popleft()
                    if (fault := await talk.fetch(topic, theirs=theirs[topic])) is not None:
                        return fault
            finally:
                topics.clear()  # start no other topic once one fails
            return None

        for topics, at_once in ((tasks, 1), (others, TOPICS_AT_ONCE)):
            # If one of them ends early, the records that the other is fetching are kept.
            fetches = (fetch_some(topics) for _ in range(at_once))
            for ended in await asyncio.gather(*fetches, return_exceptions=True):
                if isinstance(ended, BaseException):
                    raise ended
                if ended is not None:
                    await self._misbehaviour.blame(peer, ended.reason)
                    return False
        return talk.is_complete


def _gap(ours: TopicDigest, theirs: TopicDigest) -> tuple[int, int]:
    """Return how many more ids a peer's set has, and the sum of its ids minus this node's sum."""
    sums = [int.from_bytes(summed, "little") for _, summed in (ours, theirs)]
    return theirs[0] - ours[0], (sums[1] - sums[0]) % _MODULUS
