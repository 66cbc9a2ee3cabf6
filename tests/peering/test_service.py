"""All parts together: three nodes run, talk, and survive a fault in one of their parts."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from node.home.clock import EARLY_MS
from node.network.errors import NetworkError
from node.peering import service
from node.peering.messages import BLOB, HELLO, PEERS, SYNC, RefusedError
from protocol.framing import Message
from protocol.keys import bind
from protocol.source import Source
from protocol.topics import family_topic, news_topic
from tests.peering.members import KEYS, TASK, Clock, Member, library, member, signed, until
from tests.peering.test_fetching import patch_of
from tests.peering.wires import Wires
from tests.protocol.examples import INSIGHT, PROFILE, RESULT, START_MS, TRANSPORT, sha256

POOL = library(24)
OLD = Source.of({"train.py": b"DEPTH = 2\n"})
NEW = Source.of({"train.py": b"DEPTH = 3\n"})


class Scene:
    def __init__(self, stack: ExitStack) -> None:
        self.wires, self.clock = Wires(), Clock()
        self.one, self.two, self.three = (
            stack.enter_context(member(self.wires, name, self.clock))
            for name in ("one", "two", "three")
        )

    async def ticking(self) -> None:
        while True:
            self.clock.now_s += 5.0
            await asyncio.sleep(0.001)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setattr(service, "_RESTARTED_AFTER_S", 0.0)
    monkeypatch.setattr("node.peering.greeting._LOOKED_S", 0.001)
    monkeypatch.setattr("node.peering.service._PUBLISHED_EVERY_S", 0.001)
    with ExitStack() as stack:
        yield Scene(stack)


async def running(scene: Scene, *members: Member) -> asyncio.Task[None]:
    async def all_of_them() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(scene.ticking())
            for one in members:
                group.create_task(one.peering.run())

    return asyncio.create_task(all_of_them())


def test_nodes_in_a_row_end_with_the_same_records_and_sources(scene: Scene) -> None:
    one, two, three = scene.one, scene.two, scene.three
    one.take(POOL[:15])
    three.take(POOL[10:])
    patch = patch_of(OLD, NEW)
    claim = signed(KEYS[0], 2, replace(RESULT, patch=patch.id, base=OLD.tree, tree=NEW.tree))
    one.take([patch, claim])
    one.blobs.put_source(OLD)
    one.blobs.put_source(NEW)

    async def talk() -> None:
        everyone = await running(scene, one, two, three)
        scene.wires.connect(one.carrier, two.carrier)
        scene.wires.connect(two.carrier, three.carrier)
        await until(
            lambda: {claim.id, *(r.id for r in POOL)} <= one.ids() & two.ids() & three.ids()
        )
        await until(lambda: three.blobs.lacking(NEW.tree) == [])
        assert three.blobs.get_source(NEW.tree) == NEW
        everyone.cancel()

    asyncio.run(talk())
    assert one.carrier.dropped == two.carrier.dropped == three.carrier.dropped == {}
    introducers = [node.store.records.introducer(claim.id) for node in (one, two, three)]
    assert introducers == [None, "one", "two"], "from whom it came, who need not be its author"


def test_own_records_are_gossiped_once_in_each_of_their_topics(scene: Scene) -> None:
    one, two = scene.one, scene.two

    async def talk() -> None:
        everyone = await running(scene, one)
        scene.wires.connect(one.carrier, two.carrier)
        await asyncio.sleep(0)
        step = one.store.append_own(KEYS[0], patch_of(OLD, NEW).body, ts_ms=START_MS)
        await until(lambda: scene.clock.now_s > 1_100)
        assert one.carrier.published == []  # no result says yet which hardware it is about
        body = replace(RESULT, patch=step.id)
        result = one.store.append_own(KEYS[0], body, ts_ms=START_MS)
        profile = replace(PROFILE, binding=bind(TRANSPORT, KEYS[0].public))
        own = one.store.append_own(KEYS[0], profile, ts_ms=START_MS)
        family, news = family_topic("main", TASK, "cpu"), news_topic("main", TASK)
        await until(lambda: len(one.carrier.published) >= 5)
        assert sorted(one.carrier.published) == sorted(
            [
                (family, result.wire),
                (news, result.wire),
                (family, step.wire),
                (news, step.wire),
                (news, own.wire),
            ]
        )
        everyone.cancel()

    asyncio.run(talk())


def test_what_arrives_is_ingested_and_garbage_is_not_the_forwarders_fault(scene: Scene) -> None:
    one, two = scene.one, scene.two

    async def talk() -> None:
        everyone = await running(scene, one)
        scene.wires.connect(two.carrier, one.carrier)
        for number in range(20):
            await two.carrier.publish("/arnode/main/tasks", b"garbage %d" % number)
        for record in POOL:
            await two.carrier.publish("/arnode/main/tasks", record.wire)
        await until(lambda: one.ids() == {record.id for record in POOL})
        everyone.cancel()

    asyncio.run(talk())
    assert one.carrier.dropped == {}


def test_of_what_arrives_at_once_each_result_has_who_forwarded_it(scene: Scene) -> None:
    one, two, three = scene.one, scene.two, scene.three
    results = [signed(key, 0, RESULT) for key in KEYS[:2]]

    async def talk() -> None:
        everyone = await running(scene, one)
        for other in (two, three):
            scene.wires.connect(other.carrier, one.carrier)
        for other, result in zip((two, three), results, strict=True):
            await other.carrier.publish("/arnode/main/tasks", result.wire)
        await until(lambda: one.ids() == {result.id for result in results})
        everyone.cancel()

    asyncio.run(talk())
    introducers = [one.store.records.introducer(result.id) for result in results]
    assert introducers == ["two", "three"]


def test_a_part_that_fails_is_counted_and_started_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = scene.one, scene.two
    two.take(POOL)
    settle, failures = one.store.intake.settle, 2

    def failing(*, now_ms: int) -> object:
        nonlocal failures
        if failures:
            failures -= 1
            raise OSError("a fault of this machine")
        return settle(now_ms=now_ms)

    monkeypatch.setattr(one.store.intake, "settle", failing)

    async def talk() -> None:
        everyone = await running(scene, one, two)
        await until(lambda: one.peering.failures["settling"] == 2)
        scene.wires.connect(one.carrier, two.carrier)
        await until(lambda: two.ids() <= one.ids())
        everyone.cancel()

    asyncio.run(talk())


def test_what_waited_until_it_was_no_longer_early_is_news_like_any_other(scene: Scene) -> None:
    one, two = scene.one, scene.two
    patch = patch_of(OLD, NEW)
    claim = signed(KEYS[0], 2, replace(RESULT, patch=patch.id, base=OLD.tree, tree=NEW.tree))
    for source in (OLD, NEW):
        two.blobs.put_source(source)
    for node in (one, two):
        node.take([patch])
    assert one.store.intake.ingest([claim.wire], now_ms=claim.ts_ms - EARLY_MS - 1).quarantined == 1
    one.peering.fetcher._has_more = False  # nothing from before the start is fetched

    async def talk() -> None:
        everyone = await running(scene, one, two)
        scene.wires.connect(one.carrier, two.carrier)
        await until(lambda: one.blobs.has(sha256(NEW["train.py"])))
        everyone.cancel()

    asyncio.run(talk())


def test_the_next_hello_shows_a_peer_what_it_lacks(scene: Scene) -> None:
    one, two = scene.one, scene.two

    async def talk() -> None:
        everyone = await running(scene, one, two)
        scene.wires.connect(one.carrier, two.carrier)
        await until(lambda: scene.wires.questions[HELLO] > 0)
        two.take([signed(KEYS[0], 0, INSIGHT)])
        await until(lambda: one.ids() == two.ids() != set())
        one.take([signed(KEYS[0], 1, INSIGHT)])
        await until(lambda: one.ids() == two.ids())
        everyone.cancel()

    asyncio.run(talk())


def test_of_too_many_topics_each_hello_reports_the_next_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service, "MAX_TOPICS", 2)
    wires, clock = Wires(), Clock()
    with member(wires, "one", clock) as one:
        one.take(POOL)
        filled = {topic for topic, entry in one.peering._indexes.digests().items() if entry[0]}
        hellos = [set(one.peering._hello().digests) for _ in range(len(filled))]
    assert all(len(digests) == 2 for digests in hellos)
    assert set.union(*hellos) == filled


@pytest.mark.parametrize(
    ("protocol", "question"),
    [
        (SYNC, {"want": [bytes(32)]}),
        (BLOB, {"blob": bytes(32), "of": bytes(32), "offset": 0}),
        (PEERS, {"known": 1}),
    ],
)
def test_nobody_is_answered_before_a_hello(
    scene: Scene, protocol: str, question: dict[str, Message]
) -> None:
    outsider, peer = scene.wires.carrier("outsider"), scene.one.carrier.peer_id
    scene.wires.connect(outsider, scene.one.carrier)
    with pytest.raises(NetworkError, match="reset") as raised:
        asyncio.run(outsider.ask(peer, protocol, question))
    assert isinstance(raised.value.__cause__, RefusedError)
    assert raised.value.__cause__.message == "say hello first"
