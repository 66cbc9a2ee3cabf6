"""Nodes of one network for tests: a store, blobs and the core's side of the network."""

import asyncio
import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from node.home.home import Home
from node.peering.book import AddressBook
from node.peering.record_reader import RecordReader
from node.peering.service import Peering
from node.store.blobs import Blobs
from node.store.intake import Quotas
from node.store.store import Store
from protocol.keys import SigningKey
from protocol.record_kinds import Body, TaskBody
from protocol.records import Record, sign_record
from protocol.topics import all_subscriptions
from tests.peering.wires import MemoryCarrier, Wires
from tests.protocol.examples import INSIGHT, INTENT, MANIFEST, PATCH, RESULT, START_MS

NOW_MS = START_MS + 3_600_000
KEYS = tuple(SigningKey.from_seed(bytes([number] * 32)) for number in range(1, 5))
ALL_TOPICS = all_subscriptions("main", [MANIFEST.id])
TASK = MANIFEST.id


class Clock:
    """A clock in seconds that only a test advances."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass(kw_only=True)
class Member:
    carrier: MemoryCarrier
    store: Store
    blobs: Blobs
    peering: Peering

    def ids(self) -> set[bytes]:
        return {record.id for record in self.store.records.listed()}

    def take(self, records: Sequence[Record]) -> None:
        """Add records as if a peer had sent them."""
        report = self.store.intake.ingest([one.wire for one in records], now_ms=NOW_MS)
        assert report.rejected == []


@contextmanager
def member(
    wires: Wires,
    name: str,
    clock: Callable[[], float],
    *,
    topics: tuple[str, ...] = ALL_TOPICS,
    quotas: Quotas | None = None,
    home: Home | None = None,
    net: str = "main",
) -> Iterator[Member]:
    """Open a node in a folder of its own."""
    with TemporaryDirectory() as folder:
        home = home or Home(Path(folder) / "home")
        with Store.open(home) as store:
            store.intake.quotas = quotas or Quotas()
            carrier, blobs = wires.carrier(name), Blobs(home.blobs)
            peering = Peering(
                carrier,
                store,
                blobs,
                net=net,
                author=hashlib.sha256(name.encode()).digest(),
                book=AddressBook(clock=clock, chance=random.Random(1)),
                reader=RecordReader(processors=1),
                software="arnode 0.1.0",
                topics=topics,
                clock=clock,
                now_ms=lambda: NOW_MS,
            )
            yield Member(carrier=carrier, store=store, blobs=blobs, peering=peering)


async def greet(wires: Wires, dialler: Member, other: Member) -> None:
    """Connect two nodes and let the dialler say hello."""
    if other.carrier.peer_id not in dialler.carrier.peers:
        wires.connect(dialler.carrier, other.carrier)
    for one, peer in ((dialler, other), (other, dialler)):
        one.peering.greeter.on_connect(peer.carrier.peer_id, dialled=one is dialler)
    await dialler.peering.greeter.greet(other.carrier.peer_id)


async def pull(asking: Member, other: Member) -> int:
    """Let one node exchange at once the topics that differ by its last hello from the other."""
    peer = other.carrier.peer_id
    hello = asking.peering.peers[peer].hello
    assert hello is not None
    differing = asking.peering.syncer.differing(peer, hello.digests)
    return await asking.peering.syncer.exchange(peer, differing) if differing else 0


async def level(wires: Wires, clock: Clock, one: Member, other: Member) -> None:
    """Exchange both ways until neither gets anything new."""
    while True:
        clock.now_s += 2_000.0
        await greet(wires, one, other)
        if not await pull(one, other) + await pull(other, one):
            return


async def until(condition: Callable[[], bool]) -> None:
    """Let other tasks run until the condition is true."""
    for _ in range(100_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never happened")


def signed(key: SigningKey, seq: int, body: Body, *, ts_ms: int | None = None) -> Record:
    return sign_record(
        key,
        net="main",
        seq=seq,
        prev=None,
        ts_ms=START_MS + seq * 10 if ts_ms is None else ts_ms,
        body=body,
    )


def library(count: int) -> list[Record]:
    """Return records of all kinds: patches with screens and confirmations, insights, intents."""
    records = [signed(KEYS[0], 0, TaskBody(manifest=MANIFEST))]
    for number in range(1, count):
        key, seq = KEYS[number % len(KEYS)], number
        tree = hashlib.sha256(b"tree %d" % number).digest()
        turn = number % 8
        if turn in (1, 3, 5):
            body: Body = replace(PATCH, tree=tree, title=f"step {number}")
        elif turn in (2, 4, 6):
            patch = records[-1]
            body = replace(
                RESULT,
                tree=tree,
                patch=patch.id,
                stage="confirm" if turn == 2 else "screen",
                hardware_class="cpu-x86_64" if turn == 4 else "h200-141g",
            )
        elif turn == 7:
            body = replace(INSIGHT, message=f"insight {number}")
        else:
            body = replace(INTENT, title=f"intent {number}")
        records.append(signed(key, seq, body))
    # The first author signs two records with one number.
    records.append(signed(KEYS[0], 4, replace(INSIGHT, message="something else")))
    return records
