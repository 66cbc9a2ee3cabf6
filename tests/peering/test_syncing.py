"""Two nodes end with the same records, for any start and over a bad network."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.home.home import Home
from node.network.errors import NetworkError
from node.network.peer_budgets import Allowance
from node.peering import exchange, ingest
from node.peering.messages import HELLO, SYNC
from node.store.intake import INTENT_MS, Quotas
from protocol.encoding import encode
from protocol.errors import Rejected
from protocol.framing import Message
from protocol.record_kinds import UnknownBody
from protocol.records import Record, payload_id
from protocol.topics import subscriptions
from tests.peering.members import (
    ALL_TOPICS,
    KEYS,
    NOW_MS,
    TASK,
    Clock,
    Member,
    greet,
    level,
    library,
    member,
    pull,
    signed,
)
from tests.peering.wires import Wires
from tests.protocol.examples import INSIGHT, INTENT, RESULT, START_MS

POOL = library(64)


class Wired:
    """Some nodes on the same wires."""

    def __init__(self, stack: ExitStack) -> None:
        self.wires, self.clock = Wires(), Clock()
        self._stack = stack

    def member(
        self,
        name: str,
        *,
        topics: tuple[str, ...] = ALL_TOPICS,
        quotas: Quotas | None = None,
        home: Home | None = None,
    ) -> Member:
        return self._stack.enter_context(
            member(self.wires, name, self.clock, topics=topics, quotas=quotas, home=home)
        )

    async def level(self, one: Member, other: Member) -> None:
        await level(self.wires, self.clock, one, other)


@pytest.fixture
def wired() -> Iterator[Wired]:
    with ExitStack() as stack:
        yield Wired(stack)


@pytest.fixture
def loop() -> Iterator[asyncio.Runner]:
    """Return one event loop for a node that others connect to twice."""
    with asyncio.Runner() as runner:
        yield runner


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(["one", "other", "both"]), min_size=64, max_size=64), st.randoms())
def test_two_nodes_with_any_overlap_end_with_the_same(
    whose: list[str], chance: random.Random
) -> None:
    with ExitStack() as stack:
        wired = Wired(stack)
        one, other = wired.member("one"), wired.member("other")
        pairs = list(zip(POOL, whose, strict=False))
        chance.shuffle(pairs)
        one.take([record for record, who in pairs if who != "other"])
        other.take([record for record, who in pairs if who != "one"])
        asyncio.run(wired.level(one, other))
        named = {record.body.patch for record, _ in pairs if hasattr(record.body, "patch")}
        # A patch without a result belongs to no topic yet.
        expected = {
            record.id for record, _ in pairs if record.kind != "patch" or record.id in named
        }
        assert one.ids() & expected == other.ids() & expected == expected
        assert dict(one.peering.syncer._indexes.digests()) == dict(
            other.peering.syncer._indexes.digests()
        )


def test_three_nodes_in_a_row_pass_everything_on(wired: Wired) -> None:
    first, middle, last = (wired.member(name) for name in ("first", "middle", "last"))
    first.take(POOL[:40])
    last.take(POOL[30:])

    async def talk() -> None:
        await wired.level(first, middle)
        await wired.level(middle, last)
        await wired.level(first, middle)

    asyncio.run(talk())
    assert first.ids() == middle.ids()
    assert last.ids() >= {record.id for record in POOL if record.kind != "patch"}


def test_a_node_of_another_family_gets_the_news_and_not_the_screens(wired: Wired) -> None:
    here = wired.member("here", topics=subscriptions("main", [TASK], "h200-141g"))
    there = wired.member("there", topics=subscriptions("main", [TASK], "cpu-x86_64"))
    here.take(POOL)
    asyncio.run(wired.level(here, there))
    kinds = {record.kind for record in there.store.records.listed()}
    assert kinds == {"task", "patch", "result", "insight"}
    results = [record.body for record in there.store.records.listed("result")]
    patches = {record.id for record in there.store.records.listed("patch")}
    assert results
    # One screen is half of an equivocation's proof.
    screens = [body for body in results if body.stage == "screen"]
    assert len(screens) == 1
    assert {body.patch for body in results if body.stage == "confirm"} <= patches


@pytest.mark.parametrize("count", [600, pytest.param(3_000, marks=pytest.mark.soak)])
def test_equal_sets_cost_a_hello_and_a_few_hundred_bytes(wired: Wired, count: int) -> None:
    records = library(count)
    one, other = wired.member("one"), wired.member("other")
    for node in (one, other):
        node.take(records)

    async def talk() -> None:
        await greet(wired.wires, one, other)
        peer = other.carrier.peer_id
        hello = one.peering.peers[peer].hello
        assert hello is not None
        shared = {topic: digest for topic, digest in hello.digests.items() if digest[0]}
        for topic, digest in shared.items():
            wired.wires.bytes.clear()
            assert await one.peering.syncer.exchange(peer, {topic: digest}) == 0
            assert wired.wires.bytes[SYNC] < 150
        # Topics known to be equal are not compared again for half an hour.
        wired.clock.now_s += 60
        assert one.peering.syncer.differing(peer, hello.digests) == {}

    asyncio.run(talk())


def test_a_newcomer_reads_pages_and_goes_on_after_a_restart(
    wired: Wired, tmp_path: Path, loop: asyncio.Runner
) -> None:
    records = library(3_000)
    full = wired.member("full")
    full.take(records)
    home = Home(tmp_path / "home")
    pages = 0

    async def lost_later(_protocol: str, question: Message, answer: Message) -> Message:
        nonlocal pages
        assert isinstance(question, dict)
        pages += "after" in question
        if pages > 2:
            raise NetworkError("no answer in time", "")
        return answer

    with ExitStack() as stack:
        names = {"wires": wired.wires, "name": "new", "clock": wired.clock, "home": home}
        new = stack.enter_context(member(**names))  # type: ignore[arg-type]

        async def begin() -> None:
            await greet(wired.wires, new, full)
            full.carrier.tamper = lost_later
            await pull(new, full)

        loop.run(begin())
        held = new.store.records.count()
        assert 0 < held < len(records)
        begun = [topic for topic in ALL_TOPICS if new.store.meta(f"cursor {topic}") is not None]
        assert begun
        full.carrier.lost(new.carrier.peer_id)
    with ExitStack() as stack:
        new = stack.enter_context(member(**names))  # type: ignore[arg-type]
        questions: list[Message] = []

        async def noted(_protocol: str, question: Message, answer: Message) -> Message:
            questions.append(question)
            return answer

        async def go_on() -> None:
            wired.clock.now_s += 3_600
            full.carrier.tamper = noted
            await greet(wired.wires, new, full)
            await pull(new, full)

        loop.run(go_on())
        assert new.ids() == full.ids()
        asked = [one for one in questions if isinstance(one, dict) and "after" in one]
        for topic in begun:
            cursors = [one["after"] for one in asked if one["topic"] == topic]
            assert cursors
            assert None not in cursors
            assert new.store.meta(f"cursor {topic}") is None


def test_a_node_that_was_away_for_a_day_fetches_nothing_that_it_has(
    wired: Wired, tmp_path: Path, loop: asyncio.Runner
) -> None:
    records = library(737)  # the last patch needs its result
    before, meanwhile = records[:400], records[400:]
    stayed, home = wired.member("stayed"), Home(tmp_path / "home")
    stayed.take(before)
    names = {"wires": wired.wires, "name": "away", "clock": wired.clock, "home": home}
    with ExitStack() as stack:
        away = stack.enter_context(member(**names))  # type: ignore[arg-type]
        loop.run(wired.level(away, stayed))
        had = away.ids()
        stayed.carrier.lost(away.carrier.peer_id)
    stayed.take(meanwhile)
    wired.clock.now_s += 86_400
    sent: list[bytes] = []

    async def noted(_protocol: str, _question: Message, answer: Message) -> Message:
        if isinstance(answer, dict) and isinstance(wires := answer.get("records"), list):
            sent.extend(wires)  # type: ignore[arg-type]
        return answer

    stayed.carrier.tamper = noted
    with ExitStack() as stack:
        away = stack.enter_context(member(**names))  # type: ignore[arg-type]
        loop.run(wired.level(away, stayed))
        assert away.ids() == stayed.ids()
    heads = [payload_id(wire) for wire in sent]
    fetched = [head[0] for head in heads if not isinstance(head, Rejected)]
    assert len(fetched) == len(sent) == len(set(fetched))
    assert had.isdisjoint(fetched)
    assert had | set(fetched) == stayed.ids()


def test_what_was_refused_is_not_fetched_again(wired: Wired) -> None:
    full, small = wired.member("full"), wired.member("small", quotas=Quotas(news=5))
    full.take([signed(KEYS[0], seq, replace(INSIGHT, message=f"{seq}")) for seq in range(40)])
    wants = 0

    async def counted(_protocol: str, question: Message, answer: Message) -> Message:
        nonlocal wants
        wants += isinstance(question, dict) and "want" in question
        return answer

    full.carrier.tamper = counted

    async def talk() -> None:
        await wired.level(small, full)
        before = wants
        await wired.level(small, full)
        assert (before, wants) == (1, 1)
        # The lasting difference is not compared every ten seconds either.
        wired.clock.now_s += 1_000
        hello = small.peering.peers[full.carrier.peer_id].hello
        assert hello is not None
        assert small.peering.syncer.differing(full.carrier.peer_id, hello.digests) == {}

    asyncio.run(talk())
    assert small.store.records.count() == 5
    assert full.store.records.count() == 40


def test_expired_intents_are_offered_to_nobody(wired: Wired) -> None:
    old, new = wired.member("old"), wired.member("new")
    old.take([signed(KEYS[0], 0, INTENT), signed(KEYS[0], 1, INSIGHT)])
    old.store.intake.settle(now_ms=START_MS + INTENT_MS + 1)
    asyncio.run(wired.level(old, new))
    assert [record.kind for record in new.store.records.listed()] == ["insight"]
    assert new.peering.syncer._indexes.digests() == old.peering.syncer._indexes.digests()


def test_what_is_early_waits_and_is_not_asked_for_again(wired: Wired) -> None:
    one, other = wired.member("one"), wired.member("other")
    early = signed(KEYS[0], 0, INSIGHT, ts_ms=NOW_MS + 3_600_000)
    other.store.intake.ingest([early.wire], now_ms=NOW_MS + 3_600_000)

    async def talk() -> None:
        await wired.level(one, other)
        assert one.store.records.count() == 0
        asked = wired.wires.questions[SYNC]
        wired.clock.now_s += 60
        await greet(wired.wires, one, other)
        await pull(one, other)
        assert wired.wires.questions[SYNC] == asked

    asyncio.run(talk())
    assert one.carrier.dropped == {}
    one.store.intake.settle(now_ms=NOW_MS + 3_600_000)
    assert one.ids() == other.ids()


def test_answers_that_are_lost_delayed_or_doubled_only_cost_time(wired: Wired) -> None:
    one, other = wired.member("one"), wired.member("other")
    one.take(POOL[:30])
    other.take(POOL[20:])
    chance = random.Random(1)

    async def badly(protocol: str, question: Message, answer: Message) -> Message:
        await asyncio.sleep(0)
        if protocol == SYNC and chance.random() < 0.3:
            raise NetworkError("no answer in time", "")
        if isinstance(question, dict) and isinstance(answer, dict) and "want" in question:
            records = answer["records"]
            assert isinstance(records, list)
            return {**answer, "records": [*records[::2], *records[::2]]}
        return answer

    one.carrier.tamper = other.carrier.tamper = badly

    async def talk() -> None:
        for _ in range(30):
            wired.clock.now_s += 4_000
            await greet(wired.wires, one, other)
            await pull(one, other)
            await pull(other, one)

    asyncio.run(talk())
    patches = {record.body.patch for record in POOL if record.kind == "result"}
    expected = {r.id for r in POOL if r.kind != "patch" or r.id in patches}
    assert one.ids() & expected == other.ids() & expected == expected
    assert one.carrier.dropped == other.carrier.dropped == {}


@pytest.mark.soak
def test_many_large_records_come_in_answers_below_a_frame(wired: Wired) -> None:
    one, other = wired.member("one"), wired.member("other")
    run = RESULT.runs[0]
    records: list[Record] = []
    for seq in range(260):
        runs = tuple(replace(run, seed=n, flags=("x" * 32, "y" * 32)) for n in range(60))
        records.append(signed(KEYS[0], seq, replace(RESULT, runs=runs, note=f"{seq}")))
    assert sum(len(record.wire) for record in records) > 2 << 20
    other.take(records)
    asyncio.run(wired.level(one, other))
    assert one.ids() == other.ids()


def test_records_that_came_by_gossip_meanwhile_disturb_no_exchange(wired: Wired) -> None:
    one, other = wired.member("one"), wired.member("other")
    other.take(POOL)
    rest = list(POOL)

    async def meanwhile(_protocol: str, _question: Message, answer: Message) -> Message:
        if rest:
            one.take([rest.pop(), rest.pop()])
        return answer

    other.carrier.tamper = meanwhile
    asyncio.run(wired.level(one, other))
    assert one.ids() == other.ids()


def test_only_who_said_hello_is_answered(wired: Wired) -> None:
    one, other = wired.member("one"), wired.member("other")
    wired.wires.connect(one.carrier, other.carrier)

    async def talk() -> None:
        with pytest.raises(NetworkError):
            await one.carrier.ask(other.carrier.peer_id, SYNC, {"want": [bytes(32)]})
        one.peering.greeter.on_connect(other.carrier.peer_id, dialled=True)
        await one.peering.greeter.greet(other.carrier.peer_id)
        answer = await one.carrier.ask(other.carrier.peer_id, SYNC, {"want": [bytes(32)]})
        assert answer == {"records": []}

    asyncio.run(talk())
    assert wired.wires.questions[HELLO] == 1


def test_a_newcomer_knows_the_task_before_the_claims_on_it(wired: Wired) -> None:
    full, new = wired.member("full"), wired.member("new")
    full.take(library(200))
    waiting: list[tuple[bytes]] = []

    async def noted(_protocol: str, _question: Message, answer: Message) -> Message:
        await asyncio.sleep(0)
        waiting.extend(new.store.database.rows("SELECT record FROM orphan"))
        return answer

    full.carrier.tamper = noted
    asyncio.run(wired.level(new, full))
    assert new.ids() == full.ids()
    assert waiting == []


def test_topics_that_come_at_once_are_all_counted(
    wired: Wired, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "MAX_WANTED", 16)
    full, new = wired.member("full"), wired.member("new")
    full.take(library(296))

    async def talk() -> None:
        await greet(wired.wires, new, full)
        assert await pull(new, full) == new.store.records.count()

    asyncio.run(talk())
    assert new.store.records.count() > 200


def test_a_newcomer_with_several_peers_reads_each_page_once(
    wired: Wired, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "_COLD_RECORDS", 10)
    monkeypatch.setattr(exchange, "MAX_WANTED", 16)
    records = library(296)
    first, second, new = (wired.member(name) for name in ("first", "second", "new"))
    for node in (first, second):
        node.take(records)
    pages: list[Message] = []

    async def noted(_protocol: str, question: Message, answer: Message) -> Message:
        await asyncio.sleep(0)
        if isinstance(question, dict) and "after" in question:
            pages.append((question["topic"], question["after"]))  # type: ignore[arg-type]
        return answer

    async def talk() -> None:
        for other in (first, second):
            await greet(wired.wires, new, other)
            other.carrier.tamper = noted
        await asyncio.gather(pull(new, first), pull(new, second))
        await wired.level(new, first)

    asyncio.run(talk())
    assert len(pages) > 10
    assert len(pages) == len(set(pages))  # type: ignore[arg-type]
    assert new.ids() == first.ids()


def test_a_peer_that_only_lacks_what_came_here_of_late_is_not_asked(wired: Wired) -> None:
    news = [signed(KEYS[0], seq, replace(INSIGHT, message=f"{seq}")) for seq in range(30)]
    one, other = wired.member("one"), wired.member("other")
    for node in (one, other):
        node.take(news[:20])

    async def talk() -> None:
        await wired.level(one, other)
        one.take(news[20:])
        wired.clock.now_s += 1_000
        await greet(wired.wires, one, other)
        for asking, asked, is_lacking in ((one, other, False), (other, one, True)):
            peer = asked.carrier.peer_id
            hello = asking.peering.peers[peer].hello
            assert hello is not None
            assert bool(asking.peering.syncer.differing(peer, hello.digests)) is is_lacking
        await wired.level(one, other)

    asyncio.run(talk())
    assert one.ids() == other.ids() == {record.id for record in news}


def test_of_kinds_that_a_node_does_not_know_a_peer_brings_so_many_at_once(
    wired: Wired, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "RATIONED_RECORDS", Allowance(per_s=0.001, burst=5))
    body = UnknownBody(kind="prophecy", encoded=encode({}))
    strange = [signed(key, seq, body) for key in KEYS for seq in range(3)]
    known = [signed(KEYS[0], 10 + seq, INSIGHT) for seq in range(7)]
    one, other = wired.member("one"), wired.member("other")
    other.take([*strange, *known])

    async def talk() -> None:
        await greet(wired.wires, one, other)
        await pull(one, other)
        assert one.ids() >= {record.id for record in known}, "those it knows all come"
        assert one.store.records.count() == len(known) + 5
        # The rest arrives in time, and no peer is to blame.
        wired.clock.now_s += 7_000
        await greet(wired.wires, one, other)
        await pull(one, other)
        await wired.level(one, other)

    asyncio.run(talk())
    assert one.ids() == other.ids()
    assert one.carrier.dropped == other.carrier.dropped == {}
