"""Nodes of a network with real processes and sockets: records and sources reach all of them."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from node.home.addresses import Address, PeerId, parse_address
from node.home.home import Home
from node.home.keyfile import NodeKeys, load_keys
from node.home.network_definition import Network
from node.peering.address_list import sign_list
from node.peering.book import AddressSource
from node.peering.book_file import book_path
from node.peering.ingest import Ingest, Ingested
from node.peering.list_reader import ListReader
from node.peering.membership import Membership, announced, taking_part
from node.peering.record_reader import RecordReader
from node.reporting.status import status_document
from node.store.store import Store
from protocol.keys import SigningKey
from protocol.record_kinds import TaskBody
from protocol.records import sign_record
from protocol.topics import all_subscriptions
from tests.node.examples import MANIFEST
from tests.peering.networks import network, until
from tests.peering.published import page, web

LOOPBACK = "/ip4/127.0.0.1/tcp/0"
NET = "lab"
PEER = "12D3KooWLKzRAW2b2kySAAh96rhvXcwvMdAiWfQKdY2SokL4YEAA"


@dataclass(kw_only=True)
class Place:
    """The open home of a node."""

    keys: NodeKeys
    store: Store
    membership: Membership

    def publish(self) -> bytes:
        """Sign and publish a record of the node's own; return its id."""
        now_ms = time.time_ns() // 1_000_000
        with self.store.transaction():
            return self.store.append_own(
                self.keys.author, TaskBody(manifest=MANIFEST), ts_ms=now_ms, net=NET
            ).id


@asynccontextmanager
async def place(
    root: Path, network: Network, *, listen: str = LOOPBACK, mdns: bool = False
) -> AsyncIterator[Place]:
    home = Home(root)
    keys = load_keys(home)
    with Store.open(home) as store:
        async with taking_part(
            network,
            home=home,
            keys=keys,
            store=store,
            topics=all_subscriptions(network.name, [MANIFEST.id]),
            listen=(listen,),
            mdns=mdns,
        ) as membership:
            await membership.process.wait_up()
            yield Place(keys=keys, store=store, membership=membership)


def at(found: Place, **more: object) -> Network:
    """Return the network with this node as its bootstrap node."""
    (address,) = (parse_address(text) for text in found.membership.addresses)
    assert isinstance(address, Address)
    return Network(name=NET, bootstrap=(address,), **more)  # type: ignore[arg-type]


async def until_has(found: Place, record: bytes) -> None:
    async with asyncio.timeout(60):
        await until(lambda: found.store.records.has(record))


def test_records_reach_everybody_whenever_they_were_made(tmp_path: Path) -> None:
    async def meet() -> None:
        async with place(tmp_path / "first", Network(name=NET)) as first:
            before = first.publish()  # reaches others by reconciliation
            network = at(first)
            async with place(tmp_path / "second", network) as second:
                await until_has(second, before)
                now = second.publish()  # reaches others by gossip, or else by reconciliation
                await until_has(first, now)
                async with place(tmp_path / "third", network) as third:
                    for record in (before, now):
                        await until_has(third, record)
                    async with asyncio.timeout(60):
                        await until(lambda: bool(third.membership.peers))
                    (peer, known), *_ = third.membership.peers
                    assert peer == first.membership.process.peer_id
                    assert known.hello is not None
                    assert known.hello.author == first.keys.author.public
        kept = book_path(Home(tmp_path / "second"), NET).read_text()
        assert network.bootstrap[0].peer in kept

    asyncio.run(meet())


def test_a_private_network_lets_nobody_in_without_its_secret(tmp_path: Path) -> None:
    async def knock() -> None:
        secret = bytes(range(32))
        async with place(tmp_path / "first", Network(name=NET, secret=secret)) as first:
            record = first.publish()
            async with (
                place(tmp_path / "member", at(first, secret=secret)) as member,
                place(tmp_path / "guesser", at(first, secret=bytes(32))) as guesser,
                place(tmp_path / "outsider", at(first)) as outsider,
            ):
                await until_has(member, record)
                for other in (guesser, outsider):
                    assert other.membership.peers == []
                    assert not other.store.records.has(record)
            assert len(first.membership.process.peers) <= 1

    asyncio.run(knock())


def test_a_node_that_knows_a_list_alone_finds_whom_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = SigningKey.from_seed(bytes(32))

    async def meet() -> None:
        async with (
            asyncio.timeout(120),
            web(tmp_path) as there,
            place(tmp_path / "first", Network(name=NET)) as first,
        ):
            monkeypatch.setattr(
                "node.peering.membership.ListReader", lambda: ListReader(ssl=there.client)
            )
            (named,) = at(first).bootstrap
            listed = sign_list(NET, [named], key=signer, written_s=int(time.time()))
            there.pages["/peers.txt"] = page(listed.text())
            url = there.url("/peers.txt")
            known = Network(name=NET, lists=(url,), lists_key=signer.public)
            async with place(tmp_path / "second", known) as second:
                await until(lambda: bool(second.membership.peers))
                ((peer, _),) = second.membership.peers
                assert peer == named.peer
                (entry,) = second.membership.peering.dialler._book.entries
                assert (entry.address, entry.source) == (named, AddressSource.LIST)
                document: dict[str, Any] = status_document(
                    second.store,
                    author=None,
                    net=NET,
                    sandbox="none",
                    membership=second.membership,
                )
                assert document["network"]["lists"] == [
                    {"place": url, "written": listed.written_s, "addresses": 1, "fault": None}
                ]

    asyncio.run(meet())


@pytest.mark.soak
def test_a_peer_that_is_full_is_not_dialled_again_at_once(tmp_path: Path) -> None:
    async def knock() -> None:
        async with network(max_peers=2) as full, network() as guest:
            await guest.dial(full.addresses[0])
            address = parse_address(full.addresses[0])
            assert isinstance(address, Address)
            entered = Network(name=NET, bootstrap=(address,))
            async with asyncio.timeout(60), place(tmp_path, entered) as outside:
                book = outside.membership.peering.dialler._book
                await until(lambda: any(entry.failures for entry in book.entries))
                (entry,) = book.entries
                # It connected only for a moment, which does not count as a success.
                assert (entry.success_s, outside.membership.peers) == (0, [])
                assert entry.not_before_s > entry.tried_s
            assert full.peers == (guest.peer_id,)

    asyncio.run(knock())


@pytest.mark.parametrize(
    ("listened", "announced_addresses"),
    [
        (f"/ip4/127.0.0.1/tcp/4001/p2p/{PEER}", [f"/ip4/127.0.0.1/tcp/4001/p2p/{PEER}"]),
        ("/ip4/127.0.0.1/tcp/4001", []),
    ],
)
def test_only_addresses_that_name_the_node_are_reported(
    listened: str, announced_addresses: list[str]
) -> None:
    assert list(announced((listened,))) == announced_addresses


def test_a_wildcard_is_reported_as_an_address_of_this_machine() -> None:
    for text in announced((f"/ip4/0.0.0.0/tcp/4001/p2p/{PEER}",)):
        assert not text.startswith("/ip4/0.")
        assert isinstance(parse_address(text), Address)


def test_of_a_network_with_authors_nobody_elses_records_are_taken(tmp_path: Path) -> None:
    wanted, other = (SigningKey.from_seed(bytes([number]) * 32) for number in (1, 2))
    now_ms = time.time_ns() // 1_000_000
    records = [
        sign_record(key, net=NET, seq=0, prev=None, ts_ms=now_ms, body=TaskBody(manifest=MANIFEST))
        for key in (wanted, other)
    ]

    async def take(store: Store) -> Ingested:
        ingest = Ingest(
            store,
            RecordReader(),
            net=NET,
            now_ms=lambda: now_ms,
            on_new=lambda _peer, _ids: None,
            clock=time.monotonic,
            authors=frozenset({wanted.public}),
        )
        return await ingest.ingest(PeerId(PEER), [*(one.wire for one in records), b"no record"])

    with Store.open(Home(tmp_path)) as store:
        ingested = asyncio.run(take(store))
        assert [record.id for record in store.records.listed()] == [records[0].id]
    assert ingested.new == 1
    assert len(ingested.rejected) == 1
