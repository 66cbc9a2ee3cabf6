"""A thousand nodes in memory that exchange records in simulated time.

Topics, sets, digests in hellos, rates, exchanges and answers are the shipped code. Only time, the
spreading of gossip over each topic's mesh and the loss on its links are simulated. Records are real
and signed, but are neither verified nor stored.
"""

import asyncio
import heapq
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from types import SimpleNamespace
from typing import Final, cast

from node.home.addresses import PeerId
from node.network.messages import encode_message
from node.network.router import make_router
from node.peering.book import TARGET_OUTBOUND
from node.peering.carrier import Carrier
from node.peering.greeting import REPEATED_S
from node.peering.ingest import Ingest, Ingested
from node.peering.messages import Hello, TopicDigest, write
from node.peering.service_quota import Misbehaviour
from node.peering.serving import RecordServer
from node.peering.syncing import Syncer
from node.store.store import Store
from node.store.topics import TopicIndex, TopicIndexes
from protocol.framing import Message
from protocol.hardware import FAMILIES
from protocol.record_index import RecordIndex, key_of
from protocol.record_kinds import ResultBody
from protocol.records import MAIN_NET, VERSION, Record
from protocol.topics import all_subscriptions, family_topic, subscriptions, topics_of
from tests.protocol.examples import MANIFEST
from tests.protocol.library import CLASSES, EXPERIMENTS, session

HOP_S: Final = (0.02, 0.2)  # time of a message from one node to the next
NODES_PER_BOOTSTRAP: Final = 100  # bootstrap nodes have all topics and connect each family
LOSS: Final = 0.001  # share of messages silently lost on a link
_ID_BYTES = 32
_ROUTER = make_router()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A record and its final topics."""

    wire: bytes
    id: bytes
    key: bytes
    topics: tuple[str, ...]


def entries(records: Sequence[Record]) -> Iterator[Entry]:
    """Yield records as they are published. A patch comes with the first result that names it."""
    topics: dict[bytes, tuple[str, ...]] = {one.id: topics_of(one) for one in records}
    for one in records:
        if isinstance(one.body, ResultBody) and one.body.patch in topics:
            topics[one.body.patch] = tuple({*topics[one.body.patch], *topics_of(one)})
    for one in records:
        key = key_of(one.ts_ms, one.id)
        yield Entry(wire=one.wire, id=one.id, key=key, topics=topics[one.id])


@cache
def hello_bytes(topics: int) -> int:
    """Return the size of a hello with `topics` topics."""
    some = family_topic(MAIN_NET, MANIFEST.id, FAMILIES[0])
    digests = {f"{some[:-2]}{number:02}": (10_000, bytes(_ID_BYTES)) for number in range(topics)}
    hello = Hello(
        v=VERSION,
        software="arnode 0.1.0",
        net=MAIN_NET,
        author=bytes(32),
        addresses=(f"/ip4/192.0.2.1/tcp/4001/p2p/{'1' * 52}",),
        digests=digests,
    )
    return len(encode_message(write(hello)))


class Indexes:
    """The indexes of all topics, like `TopicIndexes` without a database."""

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = {topic: TopicIndex(RecordIndex()) for topic in topics}

    def add(self, entry: Entry) -> None:
        for topic in entry.topics:
            if topic in self._topics:
                self._topics[topic].change(entry.key, held=True)

    def digests(self) -> Mapping[str, TopicDigest]:
        return {topic: indexed.digest() for topic, indexed in self._topics.items()}

    def was(self, topic: str, digest: TopicDigest) -> bool:
        return self._topics[topic].was(digest)

    def had(self, topic: str) -> RecordIndex:
        return self[topic].copy()

    def __getitem__(self, topic: str) -> RecordIndex:
        return self._topics[topic].index

    def __contains__(self, topic: str) -> bool:
        return topic in self._topics


@dataclass
class Node:
    """A node with its records and connections. `spent` counts its costs."""

    name: PeerId
    topics: tuple[str, ...]
    world: "World"
    records: dict[bytes, bytes] = field(default_factory=dict)
    peers: set[PeerId] = field(default_factory=set)
    mesh: dict[str, set[PeerId]] = field(default_factory=dict)
    cursors: dict[str, bytes] = field(default_factory=dict)
    spent: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.indexes = Indexes(self.topics)
        # This class acts as carrier, store and ingest, since each needs a few methods only.
        parts = SimpleNamespace(
            records=self,
            intake=self,
            meta=self.cursors.get,
            set_cursor=self.cursors.__setitem__,
            forget_meta=lambda key: self.cursors.pop(key, None),
        )
        indexes, store = cast("TopicIndexes", self.indexes), cast("Store", parts)
        carrier = cast("Carrier", self)
        self.server = RecordServer(store, indexes)
        self.syncer = Syncer(
            carrier,
            store,
            indexes,
            Misbehaviour(carrier, self.world.clock),
            ingest=cast("Ingest", self),
            clock=self.world.clock,
        )

    def receive(self, entry: Entry) -> bool:
        """Keep a record. Return True if it is new."""
        is_new = entry.id not in self.records
        if is_new:
            self.records[entry.id] = entry.wire
            self.spent["records"] += 1
            self.spent["record bytes"] += len(entry.wire)
            self.indexes.add(entry)
        return is_new

    def digests_by_topic(self) -> Mapping[str, TopicDigest]:
        """Return the digests of its hello."""
        return {topic: one for topic, one in self.indexes.digests().items() if one[0]}

    # As a carrier

    async def ask(
        self, peer: PeerId, _protocol: str, question: Message, *, timeout_s: float = 30.0
    ) -> Message:
        assert timeout_s
        other = self.world.nodes[peer]
        answer = await other.server.answer(self.name, question)
        size = len(encode_message(question)) + len(encode_message(answer))
        for side in (self, other):
            side.spent["sync questions"] += 1
            side.spent["sync bytes"] += size
        return answer

    # As a store's records and intake

    def wires(self, ids: Sequence[bytes]) -> dict[bytes, bytes]:
        return {one: self.records[one] for one in ids if one in self.records}

    def lacking(self, ids: Sequence[bytes]) -> list[bytes]:
        return [one for one in ids if one not in self.records]

    # As an importer of records

    async def ingest(self, _peer: PeerId, wires: Sequence[bytes]) -> Ingested:
        new = [self.receive(self.world.by_wire[wire]) for wire in wires]
        self.spent["fetched"] += sum(new)
        self.spent["fetched in vain"] += len(new) - sum(new)
        return Ingested(new=sum(new))


class World:
    """All nodes and the queue of events."""

    def __init__(self, nodes: int, *, seed: int) -> None:
        self.chance = random.Random(seed)
        self.now_s = 0.0
        self.nodes: dict[PeerId, Node] = {}
        self.by_wire: dict[bytes, Entry] = {}
        self._events: list[tuple[float, int, str, tuple[object, ...]]] = []
        self._numbers = count()
        tasks = [MANIFEST.id]
        self.makers = [
            self._node(subscriptions(MAIN_NET, tasks, CLASSES[number % len(CLASSES)]))
            for number in range(nodes)
        ]
        every = all_subscriptions(MAIN_NET, tasks)
        self._well_known = [self._node(every) for _ in range(max(1, nodes // NODES_PER_BOOTSTRAP))]
        self._connect()

    def clock(self) -> float:
        """Return the simulated seconds since the start."""
        return self.now_s

    def at(self, when_s: float, name: str, *what: object) -> None:
        """Schedule an event."""
        heapq.heappush(self._events, (when_s, next(self._numbers), name, what))

    async def run(self, seconds: float) -> None:
        """Process all events of the next `seconds` seconds."""
        ends_s = self.now_s + seconds
        while self._events and self._events[0][0] <= ends_s:
            self.now_s, _, name, what = heapq.heappop(self._events)
            if name == "hello":
                await self._hello(*cast("tuple[Node, Node]", what))
            elif name == "publish":
                self._publish(*cast("tuple[Node, Entry]", what))
            else:
                node, entry = cast("tuple[Node, Entry]", what)
                node.receive(entry)
        self.now_s = ends_s

    def _node(self, topics: tuple[str, ...]) -> Node:
        name = PeerId(f"node {len(self.nodes)}")
        self.nodes[name] = Node(name=name, topics=topics, world=self)
        return self.nodes[name]

    def _connect(self) -> None:
        """Let each node dial its peers, a bootstrap node first, and join the meshes."""
        everybody = [*self.nodes.values()]
        for node in everybody:
            known = self.chance.choice(self._well_known)
            others = self.chance.sample(self.makers, min(TARGET_OUTBOUND, len(self.makers)) - 1)
            for other in [known, *others]:
                if other is not node and other.name not in node.peers:
                    node.peers.add(other.name)
                    other.peers.add(node.name)
                    self.at(self.chance.uniform(0, REPEATED_S), "hello", node, other)
        for node in everybody:
            for topic in node.topics:
                self._graft(node, topic)

    def _graft(self, node: Node, topic: str) -> None:
        mesh = node.mesh.setdefault(topic, set())
        others = [
            other
            for other in (self.nodes[name] for name in sorted(node.peers))
            if topic in other.topics and len(other.mesh.get(topic, ())) < _ROUTER.degree_high
        ]
        self.chance.shuffle(others)
        if len(mesh) >= _ROUTER.degree_low:
            return
        for other in others[: _ROUTER.degree - len(mesh)]:
            mesh.add(other.name)
            other.mesh.setdefault(topic, set()).add(node.name)

    async def _hello(self, node: Node, other: Node) -> None:
        """Exchange a hello between two nodes and let both fetch missing records."""
        mine, theirs = node.digests_by_topic(), other.digests_by_topic()
        for side in (node, other):
            side.spent["hellos"] += 1
            side.spent["hello bytes"] += hello_bytes(len(mine)) + hello_bytes(len(theirs))
        for asking, said in ((node, theirs), (other, mine)):
            peer = other if asking is node else node
            if differing := asking.syncer.differing(peer.name, said):
                asking.spent["exchanges"] += 1
                await asking.syncer.exchange(peer.name, differing)
        self.at(self.now_s + REPEATED_S, "hello", node, other)

    def _publish(self, author: Node, entry: Entry) -> None:
        """Spread a record over the mesh of each of its topics."""
        author.receive(entry)
        for topic in entry.topics:
            if topic in author.mesh:
                self._spread(author, topic, entry)

    def _spread(self, author: Node, topic: str, entry: Entry) -> None:
        reached: set[PeerId] = set()
        under_way: list[tuple[float, PeerId, PeerId | None]] = [(self.now_s, author.name, None)]
        while under_way:
            when_s, name, sender = heapq.heappop(under_way)
            node = self.nodes[name]
            if sender is not None:
                node.spent["gossip in"] += 1
                node.spent["gossip bytes in"] += len(entry.wire)
            if name in reached:
                continue
            reached.add(name)
            if sender is not None:
                self.at(when_s, "receive", node, entry)
            for other in sorted(node.mesh[topic] - {sender}):
                node.spent["gossip out"] += 1
                node.spent["gossip bytes out"] += len(entry.wire)
                if self.chance.random() >= LOSS:
                    hop_s = self.chance.uniform(*HOP_S)
                    heapq.heappush(under_way, (when_s + hop_s, other, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The mean costs of nodes over a time, and how many lack records in the end."""

    seconds: float
    nodes: int
    peers: float
    mesh: float
    spent: dict[str, float]
    published: int
    lacking: int


def simulate(
    nodes: int, *, experiments_per_day: float, seconds: float, settling_s: float, seed: int = 1
) -> Outcome:
    """Simulate nodes that experiment for `seconds`, then only exchange for `settling_s`."""
    world = World(nodes, seed=seed)
    published = _plan(world, experiments_per_day, seconds)
    spent: Counter[str] = Counter()

    async def live() -> None:
        await world.run(seconds)
        for node in world.makers:
            spent.update(node.spent)
        await world.run(settling_s)

    asyncio.run(live())
    wanted: dict[str, set[bytes]] = defaultdict(set)
    for entry in world.by_wire.values():
        for topic in entry.topics:
            wanted[topic].add(entry.id)
    everybody = world.makers
    return Outcome(
        seconds=seconds,
        nodes=nodes,
        peers=sum(len(node.peers) for node in everybody) / nodes,
        mesh=sum(len(mesh) for node in everybody for mesh in node.mesh.values())
        / sum(len(node.mesh) for node in everybody),
        spent={name: total / nodes for name, total in sorted(spent.items())},
        published=published,
        lacking=sum(
            any(not wanted[topic] <= node.records.keys() for topic in node.topics)
            for node in everybody
        ),
    )


def _plan(world: World, experiments_per_day: float, seconds: float) -> int:
    """Schedule the records of every node's sessions, each author at its own times."""
    published = 0
    for number, node in enumerate(world.makers):
        made = [*entries(session(number, len(world.makers)))]
        per_s = experiments_per_day / 86_400 * len(made) / EXPERIMENTS
        # Start anywhere within a session. In so short a time most reach no promotion trial.
        place, when_s = world.chance.randrange(len(made)), world.chance.expovariate(per_s)
        while when_s < seconds:
            entry = made[place % len(made)]
            world.by_wire[entry.wire] = entry
            world.at(when_s, "publish", node, entry)
            published += 1
            place, when_s = place + 1, when_s + world.chance.expovariate(per_s)
    return published
