"""Peers' requests get a share of the core's time, and peers with few requests go first."""

import asyncio
import time
from collections.abc import Iterable

import pytest

from node.home.addresses import PeerId
from node.network.peer_budgets import ALLOWANCES, CostKind
from node.peering import service_quota
from node.peering.messages import RefusedError
from node.peering.service_quota import (
    BURST_S,
    KEPT_S,
    LITTLE_DEBT_S,
    SHARE,
    SMALL_BYTES,
    Misbehaviour,
    ServiceQuota,
)
from protocol.framing import Message
from tests.peering.members import Clock
from tests.peering.wires import Wires

ONE, OTHER, HONEST = PeerId("one"), PeerId("other"), PeerId("honest")
CROWD = tuple(PeerId(f"greedy {number}") for number in range(8))


class Scene:
    """Requests that take a given time, by a clock that advances when the quota waits.

    `size_bytes` is the length of each request; `answered` lists the peers in order of the answers.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock, self.waited_s = Clock(), 0.0
        self.carrier = Wires().carrier("asked")
        self.hosts: dict[PeerId, str] = {}
        self.answered: list[PeerId] = []
        self._answer = ServiceQuota(
            Misbehaviour(self.carrier, self.clock),
            self.clock,
            host_of=lambda peer: self.hosts.get(peer, "127.0.0.1"),
        ).limiting(self._take)
        monkeypatch.setattr(service_quota, "wait_for", self._wait)

    async def _wait(self, event: asyncio.Event, seconds: float) -> None:
        await asyncio.sleep(0)  # first let other tasks make their requests
        if not event.is_set():
            self.waited_s += seconds
            self.clock.now_s += seconds

    async def answer(self, peer: PeerId, seconds: float, *, size_bytes: int = 100) -> Message:
        return await self._answer(peer, [seconds, bytes(size_bytes)])

    def asking(
        self, peers: Iterable[PeerId], seconds: float, *, size_bytes: int = 100
    ) -> list[asyncio.Task[Message]]:
        return [
            asyncio.create_task(self.answer(peer, seconds, size_bytes=size_bytes)) for peer in peers
        ]

    async def _take(self, peer: PeerId, question: Message) -> Message:
        assert isinstance(question, list)
        seconds = question[0]
        assert isinstance(seconds, float)
        self.clock.now_s += seconds
        self.answered.append(peer)
        return seconds


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


def test_a_newcomers_pages_come_without_waiting(scene: Scene) -> None:
    async def ask() -> None:
        for _ in range(200):
            await scene.answer(ONE, 0.01)

    asyncio.run(ask())
    assert scene.waited_s == 0


def test_beyond_their_share_questions_wait(scene: Scene) -> None:
    async def ask() -> None:
        for number in range(300):
            await scene.answer(PeerId(str(number)), 0.3)

    began_s = scene.clock.now_s
    asyncio.run(ask())
    took_s = 300 * 0.3
    passed_s = scene.clock.now_s - began_s
    assert (took_s - BURST_S) / passed_s == pytest.approx(SHARE, rel=0.1)


def test_a_small_question_waits_for_nobody_who_asked_much(scene: Scene) -> None:
    """Eight peers used up the share, and have 32 open requests."""

    async def ask() -> None:
        while not scene.waited_s:
            await asyncio.gather(*scene.asking(CROWD, 0.04, size_bytes=129_000))
        crowd = scene.asking(CROWD * 4, 0.04, size_bytes=129_000)
        await asyncio.sleep(0)
        for _ in range(20):
            answered, began_s = len(scene.answered), scene.clock.now_s
            await scene.answer(HONEST, 0.01)
            assert scene.answered[answered:].index(HONEST) <= 1, "the one that was being answered"
            assert scene.clock.now_s - began_s <= 0.04 + 0.01 + 1e-6
        await asyncio.gather(*crowd)

    asyncio.run(ask())


def test_large_questions_have_their_turns_by_what_each_peer_had(scene: Scene) -> None:
    async def ask() -> None:
        for _ in range(10):
            await scene.answer(ONE, 0.1, size_bytes=SMALL_BYTES)
        asking = scene.asking([ONE] * 5 + [OTHER] * 5, 0.1, size_bytes=SMALL_BYTES)
        await asyncio.gather(*asking)

    asyncio.run(ask())
    assert scene.answered[10:] == [OTHER] * 5 + [ONE] * 5


def test_many_names_at_one_address_have_one_turn(scene: Scene) -> None:
    names = [PeerId(f"name {number}") for number in range(20)]
    scene.hosts = dict.fromkeys(names, "192.0.2.1") | {HONEST: "192.0.2.2"}

    async def ask() -> None:
        await asyncio.gather(*scene.asking(names[:10], 0.1, size_bytes=129_000))
        new = scene.asking(names[10:], 0.1, size_bytes=129_000)
        await asyncio.gather(*new, *scene.asking([HONEST], 0.1, size_bytes=129_000))

    asyncio.run(ask())
    assert scene.answered[10] == HONEST


def test_debts_wear_off(scene: Scene) -> None:
    async def ask() -> None:
        await scene.answer(ONE, 0.2)
        scene.clock.now_s += 60
        await scene.answer(OTHER, 0.1)
        await asyncio.gather(*scene.asking([OTHER, ONE], 0.1))

    asyncio.run(ask())
    assert scene.answered[2:] == [ONE, OTHER]


def test_small_questions_are_large_ones_to_heavy_users(scene: Scene) -> None:
    async def ask() -> None:
        await scene.answer(ONE, LITTLE_DEBT_S + 1)
        while not scene.waited_s:
            await scene.answer(OTHER, 0.1, size_bytes=129_000)
        waited_s = scene.waited_s
        await scene.answer(HONEST, KEPT_S - 0.1)
        assert scene.waited_s == waited_s, "a part of the share is kept for it"
        await scene.answer(ONE, 0.01)
        assert scene.waited_s > waited_s

    asyncio.run(ask())


def test_who_takes_too_much_is_refused_then_dropped_and_others_are_not(scene: Scene) -> None:
    burst_s = ALLOWANCES[CostKind.TIME].burst

    async def ask() -> None:
        await scene.answer(ONE, burst_s + 15)  # and it waits until that time has passed
        with pytest.raises(RefusedError, match="too much time"):
            await scene.answer(ONE, 0.1)
        assert scene.carrier.dropped == {}
        assert await scene.answer(OTHER, 0.1) == 0.1
        await scene.answer(OTHER, 3 * burst_s)
        assert scene.carrier.dropped == {OTHER: "it asks for too much: time"}

    asyncio.run(ask())


def test_who_has_gone_is_waited_for_no_longer(scene: Scene) -> None:
    async def ask() -> None:
        asking = scene.asking([ONE, OTHER, HONEST], 0.1)
        await asyncio.sleep(0)
        asking[1].cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        await scene.answer(OTHER, 0.1)

    asyncio.run(ask())
    assert scene.answered == [ONE, HONEST, OTHER]


def test_the_loop_has_its_turn_between_any_two_answers() -> None:
    async def slow(_: PeerId, __: Message) -> Message:
        time.sleep(0.02)  # noqa: ASYNC251 (simulates a long answer)
        return None

    async def ask() -> None:
        misbehaviour = Misbehaviour(Wires().carrier("asked"), time.monotonic)
        answer = ServiceQuota(misbehaviour, time.monotonic).limiting(slow)
        asking = [asyncio.create_task(answer(PeerId(str(n)), None)) for n in range(20)]
        turns = 0
        while not all(task.done() for task in asking):
            await asyncio.sleep(0)
            turns += 1
        assert turns >= len(asking)

    asyncio.run(ask())
