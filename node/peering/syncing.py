"""Decides which peers to ask for records, and when.

Whenever a hello shows that a peer's set of a topic differs, and in full every half hour, this node
fetches what it lacks (`exchange.py`). What the peer lacks is not pushed: the next hello tells it.
One exchange at a time with a peer, four in all. One that brought nothing new makes the next wait
twice as long, and a difference that brought nothing is not looked at again while it stays the
same: a liar, or a peer that keeps what this node refused, costs little.
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
RECONNECTED_WAIT_S = 60.0  # else who has waited longest would after a partition, too
_MODULUS = 1 << 256
_log = logging.getLogger("node.peering")


@dataclass(kw_only=True)
class SyncPace:
    """When a peer may next be synced with, in seconds of the clock.

    The wait doubles with each exchange that brought nothing new. It outlives a connection, so
    that dialling again shortens nothing.

    `settled` is, for each topic, by how much the two sets differed after a round that brought
    nothing: while they differ by the same, asking again brings nothing either.
    """

    not_before_s: float = 0.0
    ended_s: float = 0.0
    wait_s: float = SHORTEST_WAIT_S
    full_at_s: float = 0.0
    settled: dict[str, tuple[int, int]] = field(default_factory=dict)

    def ended(self, now_s: float, *, brought: int) -> None:
        """Note that a round is over, and how many new records it brought."""
        self.wait_s = SHORTEST_WAIT_S if brought else min(2 * self.wait_s, LONGEST_WAIT_S)
        self.ended_s = now_s
        self.not_before_s = now_s + self.wait_s

    def reconnected(self) -> None:
        """Look again soon: much may have happened while the peer was away."""
        self.not_before_s = min(self.not_before_s, self.ended_s + RECONNECTED_WAIT_S)


class Syncer:
    """Fetches records from peers that have others (`/arnode/sync/1`). `clock` is in seconds."""

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
        self._due: dict[PeerId, Mapping[str, TopicDigest]] = {}  # in the order they came
        self._busy: set[PeerId] = set()
        self._streamed: set[str] = set()
        self.has_heard = asyncio.Event()  # once all that a peer has was fetched
        self._is_due = asyncio.Event()

    def pace_of(self, peer: PeerId) -> SyncPace:
        """Return a peer's pace, to be changed in place."""
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

    def came(self, peer: PeerId) -> None:
        """Note that a peer is connected."""
        self.pace_of(peer).reconnected()

    def forget(self, peer: PeerId) -> None:
        """Note that a peer has gone."""
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
        """Exchange records with the peers that are due; never return."""
        async with asyncio.TaskGroup() as workers:
            for _ in range(MOST_AT_ONCE):
                workers.create_task(self._work())

    async def exchange(self, peer: PeerId, theirs: Mapping[str, TopicDigest]) -> int:
        """Fetch what a peer has of these topics and we lack; return how many records were new."""
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
                    self.has_heard.set()
                    pace.full_at_s = self._clock() + LONGEST_WAIT_S
                    if not talk.brought:
                        gaps = {name: _gap(before[name], theirs[name]) for name in theirs}
                        pace.settled.update(gaps)
        except TimeoutError:
            _log.info("peer %s: its records took more than %d s", peer, EXCHANGE_LIMIT_S)
        except NetworkError as fault:
            _log.info("peer %s: %s", peer, fault.message)
        except ArnodeError as fault:  # of the store here: the peer is not to blame
            _log.warning("records from peers are not kept: %s (%s)", fault.message, fault.hint)
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
        """Fetch all topics; say whether nothing was left out and the peer did no wrong.

        Tasks first, as claims on one that is not known would wait for it. Then two at a time: while
        one ends with a few questions in turn, the other keeps what reads and stores records busy.
        """
        ours = self._indexes.digests()
        # What differs comes first: an exchange that is cut short still brought something.
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
                topics.clear()  # once one fails, no other is begun
            return None

        for topics, at_once in ((tasks, 1), (others, TOPICS_AT_ONCE)):
            # Whatever ends one of them, what the other has on its way is kept.
            fetches = (fetch_some(topics) for _ in range(at_once))
            for ended in await asyncio.gather(*fetches, return_exceptions=True):
                if isinstance(ended, BaseException):
                    raise ended
                if ended is not None:
                    await self._misbehaviour.blame(peer, ended.reason)
                    return False
        return talk.is_complete


def _gap(ours: TopicDigest, theirs: TopicDigest) -> tuple[int, int]:
    """Return how many ids more a peer has than this node, and the difference of their sums."""
    sums = [int.from_bytes(summed, "little") for _, summed in (ours, theirs)]
    return theirs[0] - ours[0], (sums[1] - sums[0]) % _MODULUS
