"""A node's membership in one network: its network process, the protocols over it, and dialling.

A failure in any of these does not stop the research.
"""

import asyncio
import contextlib
import random
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import partial

from node.home.addresses import Address, parse_address, seen_at
from node.home.home import Home
from node.home.keyfile import NodeKeys, version
from node.home.network_definition import Network
from node.network.contract import NetworkSettings
from node.peering.book import AddressSource
from node.peering.book_file import book_path, read_book, write_book
from node.peering.greeting import ConnectedPeer
from node.peering.list_reader import ListReader
from node.peering.lists import Lists
from node.peering.neighbours import Neighbours
from node.peering.network_process import NetworkProcess
from node.peering.ports import Ports
from node.peering.record_reader import RecordReader
from node.peering.rendezvous import Rendezvous
from node.peering.service import Peering
from node.store.blobs import Blobs
from node.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """The running objects of a node's membership in a network."""

    network: Network
    process: NetworkProcess
    peering: Peering
    rendezvous: Rendezvous | None = None
    lists: Lists | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses at which this node can be dialled, as far as it knows."""
        return self.peering.addresses

    async def wait_first_sync(self, limit_s: float) -> bool:
        """Wait until one peer's records are stored; return True if that happened in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self.peering.syncer.first_sync_done.wait()
        return self.peering.syncer.first_sync_done.is_set()

    @property
    def peers(self) -> list[tuple[str, ConnectedPeer]]:
        """The connected peers that said hello."""
        return [(peer, one) for peer, one in self.peering.peers.items() if one.hello]


@contextlib.asynccontextmanager
async def taking_part(
    network: Network,
    *,
    home: Home,
    keys: NodeKeys,
    store: Store,
    topics: tuple[str, ...],
    listen: tuple[str, ...],
    relays: bool = False,
    mdns: bool = False,
    on_news: Callable[[], None] = lambda: None,
) -> AsyncIterator[Membership]:
    """Take part in a network for the length of a block.

    `topics` are subscribed to. `listen` are addresses to listen on; if empty, the node chooses a
    port. `relays`: True to serve as a relay. `mdns`: True to search for peers on the local network.
    `on_news` is called at most every 2 s, when peers sent new records.
    """
    path = book_path(home, network.name)
    book = read_book(path, clock=time.time, chance=random.Random())
    for address in network.bootstrap:
        book.learn(address, AddressSource.BOOTSTRAP)
    settings = NetworkSettings(
        transport_seed=keys.transport_seed,
        listen=listen,
        topics=topics,
        secret=network.secret,
        relays=relays,
    )
    ports = Ports(listen, recall=store.meta, keep=store.set_meta)
    process = NetworkProcess(settings, hidden=[home.root], ports=ports)
    reader = RecordReader(hidden=[home.root])
    peering = Peering(
        process,
        store,
        Blobs(home.blobs),
        net=network.name,
        author=keys.author.public,
        software=f"arnode {version()}",
        topics=topics,
        authors=network.authors,
        book=book,
        reader=reader,
        keep_book=partial(write_book, path),
        addresses=lambda: tuple(announced(process.addresses)),
        on_news=on_news,
    )
    neighbours = Neighbours(
        network,
        hidden=[home.root],
        listened=lambda: process.addresses,
        found=peering.dialler.learn_neighbour,
    )

    def greeted_peers() -> int:
        return sum(one.hello is not None for one in peering.peers.values())

    rendezvous = lists = None
    if network.dht:
        rendezvous = Rendezvous(
            network,
            keys.transport_seed,
            hidden=[home.root],
            reached_at=lambda: peering.addresses,
            peers=greeted_peers,
            found=partial(peering.dialler.replace_from, AddressSource.DHT),
            clock=time.time,
        )
    if network.lists_key is not None:
        lists = Lists(
            network,
            network.lists_key,
            reader=ListReader(),
            peers=greeted_peers,
            found=partial(peering.dialler.replace_from, AddressSource.LIST),
            clock=time.time,
            recall=store.meta,
            keep=store.set_meta,
        )
    async with process, contextlib.aclosing(reader):
        parts = [peering.run()]
        parts += [neighbours.run()] if mdns else []
        parts += [meeting.run() for meeting in (rendezvous, lists) if meeting is not None]
        running = [asyncio.create_task(part) for part in parts]
        try:
            yield Membership(
                network=network,
                process=process,
                peering=peering,
                rendezvous=rendezvous,
                lists=lists,
            )
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            peering.dialler.keep()


def announced(listened: tuple[str, ...]) -> Iterator[str]:
    """Yield the addresses of this machine to send to peers, without wildcards.

    A node behind a router cannot know if peers can dial them.
    """
    for text in listened:
        for place in seen_at(text, _own_addresses()):
            if isinstance(parse_address(place), Address):
                yield place


def _own_addresses() -> Iterator[str]:
    """Yield the address from which this machine reaches other hosts, if it is on any network.

    This sends no packet.
    """
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe,
        contextlib.suppress(OSError),  # no network at all
    ):
        probe.connect(("192.0.2.1", 9))
        yield probe.getsockname()[0]
