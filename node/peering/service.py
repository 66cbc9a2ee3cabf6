"""The core's asyncio tasks that deal with peers: hellos, syncing, fetching, publishing.

They run independently. One that fails is logged, counted and restarted. So no data from a peer can
stop the research.
"""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from node.home.addresses import Address, PeerId
from node.home.clock import clock_ms
from node.peering.book import AddressBook
from node.peering.carrier import Answer, Carrier, Connected, Disconnected
from node.peering.dialling import Dialler
from node.peering.fetching import Fetcher
from node.peering.greeting import ConnectedPeer, Greeter
from node.peering.ingest import Ingest
from node.peering.messages import (
    BLOB,
    HELLO,
    MAX_ADDRESSES,
    MAX_TOPICS,
    PEERS,
    SYNC,
    Hello,
    RefusedError,
)
from node.peering.reaching import Reaching
from node.peering.record_reader import RecordReader
from node.peering.service_quota import Misbehaviour, ServiceQuota
from node.peering.serving import BlobServer, RecordServer
from node.peering.syncing import Syncer
from node.store.blobs import Blobs
from node.store.intake import IntakeReport
from node.store.records import parsed
from node.store.store import Store
from protocol.framing import Message
from protocol.records import VERSION
from protocol.topics import belongs, parts_of

_GOSSIP_AT_ONCE = 64
_SETTLED_S = 600.0
_NEWS_EVERY_S = 2.0  # looking for work in new records takes longer than storing them
_RESTARTED_AFTER_S = 5.0
PACE_S: Final = 0.005  # if published faster, the network's queues of 32 drop most messages
_PUBLISHED_EVERY_S = 0.1  # most of the time that a delivery takes
_PUBLISHED_AT_ONCE = 100  # records
_log = logging.getLogger("node.peering")


class Peering:
    """All exchange with peers of one network, over one carrier.

    `topics` are subscribed to (protocol/topics.py). `author` signs this node's records. Only
    records of `authors` count in this network; if it is empty, everybody's do. `addresses` are sent
    to peers. `on_news` is called at most every 2 s, when peers sent new records.
    """

    def __init__(
        self,
        carrier: Carrier,
        store: Store,
        blobs: Blobs,
        *,
        net: str,
        author: bytes,
        software: str,
        topics: tuple[str, ...],
        authors: frozenset[bytes] = frozenset(),
        book: AddressBook,
        reader: RecordReader,
        keep_book: Callable[[AddressBook], None] = lambda _book: None,
        addresses: Callable[[], Sequence[str]] | None = None,
        on_news: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = clock_ms,
    ) -> None:
        self.failures: Counter[str] = Counter()
        self._carrier = carrier
        self._store = store
        self._net = net
        self._author = author
        self._software = software
        self._addresses = addresses or (lambda: carrier.addresses)
        self._on_news = on_news
        self._news: asyncio.TimerHandle | None = None
        self._now_ms = now_ms
        self._turn = 0
        self._indexes = store.topics.indexes(topics)
        misbehaviour = Misbehaviour(carrier, clock)
        self._ingest = Ingest(
            store,
            reader,
            net=net,
            now_ms=now_ms,
            on_new=self._note_new,
            clock=clock,
            authors=authors,
        )
        self.syncer = Syncer(
            carrier, store, self._indexes, misbehaviour, ingest=self._ingest, clock=clock
        )
        self.greeter = Greeter(
            carrier, misbehaviour, own=self._hello, on_hello=self._on_hello, clock=clock
        )
        self.dialler = Dialler(
            carrier,
            book,
            misbehaviour,
            keep=keep_book,
            chance=random.Random(),
            clock=clock,
        )
        self.reaching = Reaching(
            carrier, chosen=self._chosen, on_change=self.greeter.repeat_soon, clock=clock
        )
        self.fetcher = Fetcher(
            carrier,
            store,
            blobs,
            misbehaviour,
            clock=clock,
            used_bytes=blobs.size_bytes(),
        )
        self._publisher = Publisher(carrier, store, topics)
        carrier.serve(HELLO, self.greeter.answer)
        quota = ServiceQuota(misbehaviour, clock, host_of=self.greeter.host_of)
        records, files = RecordServer(store, self._indexes), BlobServer(store, blobs, net=net)
        carrier.serve(SYNC, self._for_greeted(quota.limiting(records.answer)))
        carrier.serve(BLOB, self._for_greeted(quota.limiting(files.answer)))
        carrier.serve(PEERS, self._for_greeted(self.dialler.answer))

    @property
    def addresses(self) -> tuple[str, ...]:
        """The known addresses at which this node can be dialled; tested ones come first."""
        return tuple(dict.fromkeys((*self.reaching.addresses, *self._addresses())))

    @property
    def peers(self) -> dict[PeerId, ConnectedPeer]:
        """The connected peers, each with its last hello."""
        return self.greeter.peers

    async def run(self) -> None:
        """Take part in the network until cancelled."""
        async with asyncio.TaskGroup() as parts:
            for name, part in (
                ("events", self._follow),
                ("hearing", self._store_gossip),
                ("greeting", self.greeter.run),
                ("dialling", self.dialler.run),
                ("reaching", self.reaching.run),
                ("syncing", self.syncer.run),
                ("fetching", self.fetcher.run),
                ("publishing", self._publisher.run),
                ("settling", self._settle),
            ):
                parts.create_task(self._supervise(name, part), name=name)

    async def _supervise(self, name: str, part: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await part()
            except Exception:  # noqa: BLE001 (a supervisor: no fault in one part ends the others)
                self.failures[name] += 1
                _log.exception("%s failed and is restarted", name)
            await asyncio.sleep(_RESTARTED_AFTER_S)

    def _for_greeted(self, answer: Answer) -> Answer:
        async def answer_greeted(peer: PeerId, question: Message) -> Message:
            if not self.greeter.is_greeted(peer):
                raise RefusedError("say hello first")
            return await answer(peer, question)

        return answer_greeted

    def _chosen(self) -> dict[PeerId, Address]:
        chosen = self.dialler.chosen().items()
        return {peer: address for peer, address in chosen if self.greeter.is_greeted(peer)}

    def _on_hello(self, peer: PeerId, hello: Hello) -> None:
        self.dialler.on_hello(peer, hello)
        self.fetcher.on_hello(peer)
        self.syncer.consider(peer, hello)

    def _hello(self) -> Hello:
        # Empty topics are left out. If there are too many topics, each hello carries the next ones.
        digests = [entry for entry in self._indexes.digests().items() if entry[1][0]]
        if len(digests) > MAX_TOPICS:
            self._turn = (self._turn + MAX_TOPICS) % len(digests)
            digests = [*digests[self._turn :], *digests[: self._turn]][:MAX_TOPICS]
        return Hello(
            v=VERSION,
            software=self._software,
            net=self._net,
            author=self._author,
            addresses=self.addresses[:MAX_ADDRESSES],
            digests=dict(digests),
        )

    async def _follow(self) -> None:
        connected = self._carrier.peers
        for peer in connected:
            self.greeter.on_connect(peer, dialled=False)
        for peer in set(self.peers).difference(connected):
            self._on_disconnect(peer)
        async for event in self._carrier.events():
            match event:
                case Connected(peer=peer, address=address, is_relayed=relayed, host=host):
                    dialled = address is not None
                    self.greeter.on_connect(peer, dialled=dialled, relayed=relayed, host=host)
                    self.syncer.on_connect(peer)
                case Disconnected(peer=peer):
                    self._on_disconnect(peer)

    def _on_disconnect(self, peer: PeerId) -> None:
        self.greeter.on_disconnect(peer)
        self.syncer.on_disconnect(peer)
        self.dialler.on_disconnect(peer)
        self.reaching.on_disconnect(peer)
        self.fetcher.on_disconnect(peer)

    async def _store_gossip(self) -> None:
        while True:
            of_forwarder: dict[PeerId, list[bytes]] = {}
            for one in await self._carrier.receive_gossip(_GOSSIP_AT_ONCE):
                of_forwarder.setdefault(one.forwarder, []).append(one.data)
            # A forwarder may not be able to see the faults of a message. The network process
            # already limits unknown and early records per peer.
            for forwarder, wires in of_forwarder.items():
                await self._ingest.ingest(forwarder, wires, is_rationed=False)

    def _note_new(self, peer: PeerId | None, report: IntakeReport) -> None:
        if self._news is None:
            loop = asyncio.get_running_loop()
            self._news = loop.call_later(_NEWS_EVERY_S, self._report_news)
        for patch in dict.fromkeys(report.claimed):
            self.fetcher.want(patch, sent_by=peer)
        self.fetcher.arrived(report.new)

    def _report_news(self) -> None:
        self._news = None
        self._on_news()

    async def _settle(self) -> None:
        while True:
            _, released = self._store.intake.settle(now_ms=self._now_ms())
            if released.new:
                self._note_new(None, released)
            await asyncio.sleep(_SETTLED_S)


class Publisher:
    """A publisher of this node's new records, each in the `topics` that it belongs to.

    A patch belongs to no topic until a result names it; it is then sent together with the result.
    Reconciliation brings records that were lost on the way or made while the network was down. They
    are not published later: that would look like half of an equivocation, which no node passes on
    (`node.network.gossip_verdicts`).
    """

    def __init__(self, carrier: Carrier, store: Store, topics: tuple[str, ...]) -> None:
        self._carrier = carrier
        self._store = store
        self._topics_of_part: dict[str, list[str]] = {}
        for topic in topics:
            for part in parts_of(topic):
                self._topics_of_part.setdefault(part, []).append(topic)
        self._last = store.topics.last_number()

    async def run(self) -> None:
        """Publish this node's records as they are made. Never returns."""
        while True:
            if not await self.publish():
                await asyncio.sleep(_PUBLISHED_EVERY_S)

    async def publish(self) -> int:
        """Publish some records not published yet; return the number of messages."""
        sent, latest = 0, self._store.topics.last_number()
        if latest == self._last:
            return 0
        own = self._store.topics.own_after(self._last, limit=_PUBLISHED_AT_ONCE)
        # Numbers up to `latest` belong to other authors' records, possibly to very many.
        self._last = own[-1][0] if len(own) == _PUBLISHED_AT_ONCE else latest
        for _, part, wire in own:
            record = parsed(wire, is_verified=True)
            for topic in self._topics_of_part.get(part, ()):
                if not belongs(record, topic):
                    continue
                await self._carrier.publish(topic, wire)
                await asyncio.sleep(PACE_S)
                sent += 1
        return sent
