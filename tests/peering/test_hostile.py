"""With any answer of a peer nothing raises, every exchange ends, and the peer is avoided longer."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.home.addresses import PeerId
from node.network.errors import NetworkError
from node.peering.exchange import MOST_IN_VAIN, MOST_ROUNDS, MOST_STALE, PAGES_TOGETHER
from node.peering.messages import BLOB, HELLO, MAX_WANTED, SYNC, Hello, write
from node.peering.syncing import LONGEST_WAIT_S, RECONNECTED_WAIT_S
from protocol.framing import Message
from protocol.reconciliation import FRAME_LIMIT_BYTES, respond
from protocol.record_index import RecordIndex, key_of
from protocol.records import VERSION
from protocol.topics import family_topic
from tests.peering.members import TASK, Clock, Member, library, member
from tests.peering.wires import MemoryCarrier, Wires
from tests.protocol.examples import START_MS

POOL = library(24)
TOPIC = family_topic("main", TASK, "cpu")
THEIRS = {TOPIC: (100_000, bytes(32))}
FEW = {TOPIC: (10, bytes(32))}
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["message", "records", "next", "data", "size"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)
Lie = Callable[[dict[str, Any]], Message]


class Liar:
    """A peer that answers as it likes; `asked` counts the requests."""

    def __init__(self, wires: Wires, victim: Member) -> None:
        self.carrier: MemoryCarrier = wires.carrier("liar")
        self.asked = 0
        self.lie: Lie = lambda _: None
        self.carrier.serve(SYNC, self._answer)
        self.carrier.serve(BLOB, self._answer)
        wires.connect(self.carrier, victim.carrier)

    async def _answer(self, _peer: PeerId, question: Message) -> Message:
        self.asked += 1
        assert isinstance(question, dict)
        return self.lie(question)


class Scene:
    def __init__(self, stack: ExitStack) -> None:
        self.wires, self.clock = Wires(), Clock()
        self.victim = stack.enter_context(member(self.wires, "victim", self.clock))
        self.liar = Liar(self.wires, self.victim)
        self.peer = self.liar.carrier.peer_id

    def exchange(self, lie: Lie, theirs: dict[str, tuple[int, bytes]]) -> int:
        self.liar.lie = lie
        return asyncio.run(self.victim.peering.syncer.exchange(self.peer, theirs))

    @property
    def wait_s(self) -> float:
        return self.victim.peering.syncer.pace_of(self.peer).wait_s


@pytest.fixture
def scene() -> Iterator[Scene]:
    with ExitStack() as stack:
        yield Scene(stack)


def _ids(count: int) -> RecordIndex:
    return RecordIndex(key_of(START_MS + n, n.to_bytes(32, "big")) for n in range(count))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ANYTHING, min_size=1, max_size=6), st.sampled_from([THEIRS, FEW]))
def test_answers_of_any_shape_bring_nothing_and_end(
    scene: Scene, answers: list[Message], theirs: dict[str, tuple[int, bytes]]
) -> None:
    if scene.peer not in scene.victim.carrier.peers:
        scene.wires.connect(scene.liar.carrier, scene.victim.carrier)
    turns = iter(answers * 10_000)
    assert scene.exchange(lambda _: next(turns), theirs) == 0
    assert scene.liar.asked < 10_000


@pytest.mark.parametrize(
    "answer",
    [
        {"message": b""},
        {"message": b"\x61" * 1000},
        {"message": bytes(FRAME_LIMIT_BYTES + 1)},
        {"message": "text"},
        {"records": [], "next": None, "message": b"\x61\x00\x00\x02\xff\xff\xff\xff\x7f"},
        {"message": b"\x60"},
    ],
)
def test_a_reconciliation_of_wrong_bytes_ends_at_once(
    scene: Scene, answer: dict[str, Message]
) -> None:
    assert scene.exchange(lambda _: answer, FEW) == 0
    assert scene.liar.asked <= 2


def test_ids_that_nobody_has_are_given_up(scene: Scene) -> None:
    named = _ids(50_000)

    def lie(question: dict[str, Any]) -> Message:
        if "reconcile" in question:
            answer = respond(named, question["reconcile"])
            assert isinstance(answer, bytes)
            return {"message": answer}
        return {"records": []}

    assert scene.exchange(lie, FEW) == 0
    assert scene.liar.asked <= MOST_ROUNDS + MOST_IN_VAIN
    assert scene.victim.carrier.dropped == {}  # it may just have removed them


def test_a_difference_without_end_ends_and_is_asked_for_less_and_less(scene: Scene) -> None:
    counter = iter(range(10**9))

    def lie(_: dict[str, Any]) -> Message:
        # A fingerprint of everything that matches nothing, so the difference never ends.
        return {"message": b"\x61\x00\x00\x01" + next(counter).to_bytes(16, "big")}

    for _ in range(12):
        before = scene.liar.asked
        assert scene.exchange(lie, FEW) == 0
        assert scene.liar.asked - before <= MOST_ROUNDS
    assert scene.wait_s == LONGEST_WAIT_S
    scene.clock.now_s += LONGEST_WAIT_S - 1
    assert scene.victim.peering.syncer.differing(scene.peer, FEW) == {}
    scene.clock.now_s += 1
    assert scene.victim.peering.syncer.differing(scene.peer, FEW) == FEW


def test_dialling_again_brings_one_look_a_minute_at_most(scene: Scene) -> None:
    syncer = scene.victim.peering.syncer
    for _ in range(10):
        scene.exchange(lambda _: {"message": b"\x61\x00\x00\x01" + bytes(16)}, FEW)
    syncer.on_connect(scene.peer)
    scene.clock.now_s += RECONNECTED_WAIT_S - 1
    assert syncer.differing(scene.peer, FEW) == {}
    scene.clock.now_s += 1
    assert syncer.differing(scene.peer, FEW) == FEW


def test_a_cursor_that_does_not_move_is_a_fault(scene: Scene) -> None:
    key = bytes(40)
    assert scene.exchange(lambda _: {"records": [], "next": key}, THEIRS) == 0
    assert scene.liar.asked == 2


@pytest.mark.parametrize("records", [[POOL[0].wire] * MAX_WANTED, [POOL[0].wire], []])
def test_pages_without_anything_new_end(scene: Scene, records: list[bytes]) -> None:
    cursors = (n.to_bytes(40, "big") for n in range(10**6))
    scene.victim.take(POOL[:1])

    def lie(question: dict[str, Any]) -> Message:
        if "after" in question:
            return {"records": [*records], "next": next(cursors)}
        return {"message": b"\x61"}

    assert scene.exchange(lie, THEIRS) == 0
    ahead = 2
    assert scene.liar.asked == (MOST_STALE + ahead) * PAGES_TOGETHER + 1, "with the comparison"


def test_a_cursor_far_ahead_hides_nothing(scene: Scene) -> None:
    far = b"\xff" * 40

    def lie(question: dict[str, Any]) -> Message:
        if question.get("after") is None:
            return {"records": [], "next": far}
        raise NetworkError("gone", "")

    scene.exchange(lie, THEIRS)
    with member(scene.wires, "honest", scene.clock) as honest:
        honest.take(POOL)
        scene.wires.connect(scene.victim.carrier, honest.carrier)

        async def talk() -> None:
            for one, other in ((scene.victim, honest), (honest, scene.victim)):
                one.peering.greeter.on_connect(other.carrier.peer_id, dialled=True)
            await scene.victim.peering.greeter.greet(honest.carrier.peer_id)
            digests = honest.peering.syncer._indexes.digests()
            await scene.victim.peering.syncer.exchange(honest.carrier.peer_id, digests)

        asyncio.run(talk())
        assert scene.victim.ids() == honest.ids()


def test_records_that_were_not_asked_for_are_not_taken(scene: Scene) -> None:
    named = _ids(3)

    def lie(question: dict[str, Any]) -> Message:
        if "reconcile" in question:
            answer = respond(named, question["reconcile"])
            assert isinstance(answer, bytes)
            return {"message": answer}
        return {"records": [record.wire for record in POOL]}

    assert scene.exchange(lie, FEW) == 0
    assert scene.victim.store.records.count() == 0


def test_who_sends_invalid_records_is_dropped(scene: Scene) -> None:
    forged = [record.wire[:-1] + bytes([record.wire[-1] ^ 1]) for record in POOL]
    key = key_of(START_MS, bytes(32))

    def lie(question: dict[str, Any]) -> Message:
        return {"records": forged, "next": key if question.get("after") is None else None}

    assert scene.exchange(lie, THEIRS) == 0
    assert scene.victim.store.records.count() == 0
    assert "invalid record" in scene.victim.carrier.dropped[scene.peer]
    assert scene.liar.asked == 2, "the next page was on its way already"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(["reconcile", "want", "after", "topic", "limit", "blob", "of", "offset"]),
        ANYTHING | st.just(TOPIC) | st.just(bytes(32)) | st.integers(0, 600),
    )
)
def test_questions_of_any_shape_are_answered_or_ended(
    scene: Scene, question: dict[str, Message]
) -> None:
    async def talk() -> None:
        victim = scene.victim.carrier.peer_id
        if scene.peer not in scene.victim.carrier.peers:
            scene.wires.connect(scene.liar.carrier, scene.victim.carrier)
        await scene.liar.carrier.ask(victim, HELLO, write(_hello()))
        for protocol in (SYNC, BLOB):
            try:
                answer = await scene.liar.carrier.ask(victim, protocol, question)
            except NetworkError:
                continue
            assert isinstance(answer, dict)

    asyncio.run(talk())


def _hello() -> Hello:
    return Hello(
        v=VERSION,
        software="lies 1",
        net="main",
        author=bytes(32),
        addresses=(),
        digests=dict(FEW),
    )
