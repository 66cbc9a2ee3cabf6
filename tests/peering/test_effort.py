"""Peers' questions take a share of the core's time, each peer so much, and research the rest."""

import asyncio
import time

import pytest

from node.network.limits import ALLOWANCES, Kind, PeerId
from node.peering.carrier import Message
from node.peering.conduct import Conduct
from node.peering.effort import BURST_S, SHARE, Effort
from node.peering.messages import RefusedError
from tests.peering.members import Clock
from tests.peering.wires import Wires

ONE, OTHER = PeerId("one"), PeerId("other")


class Scene:
    """Questions that take as long as they say, by a clock that goes on when somebody sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock, self.slept_s = Clock(), 0.0
        self.carrier = Wires().carrier("asked")
        self.answer = Effort(Conduct(self.carrier, self.clock), self.clock).limiting(self._take)
        self._sleep = asyncio.sleep
        monkeypatch.setattr("node.peering.effort.asyncio.sleep", self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.slept_s += seconds
        self.clock.now_s += seconds
        await self._sleep(0)

    async def _take(self, _: PeerId, question: Message) -> Message:
        assert isinstance(question, float)
        self.clock.now_s += question
        return question


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


def test_a_newcomers_pages_come_without_waiting(scene: Scene) -> None:
    async def ask() -> None:
        for _ in range(200):
            await scene.answer(ONE, 0.01)

    asyncio.run(ask())
    assert scene.slept_s == 0


def test_beyond_their_share_questions_wait(scene: Scene) -> None:
    async def ask() -> None:
        for number in range(300):
            await scene.answer(PeerId(str(number)), 0.3)

    began_s = scene.clock.now_s
    asyncio.run(ask())
    took_s = 300 * 0.3
    passed_s = scene.clock.now_s - began_s
    assert (took_s - BURST_S) / passed_s == pytest.approx(SHARE, rel=0.1)


def test_whoever_takes_too_much_is_refused_then_dropped_and_others_are_not(scene: Scene) -> None:
    burst_s = ALLOWANCES[Kind.EFFORT].burst

    async def ask() -> None:
        await scene.answer(ONE, burst_s + 15)  # and it waits for that to pass
        with pytest.raises(RefusedError, match="enough time"):
            await scene.answer(ONE, 0.1)
        assert scene.carrier.dropped == {}
        assert await scene.answer(OTHER, 0.1) == 0.1
        await scene.answer(OTHER, 3 * burst_s)
        assert scene.carrier.dropped == {OTHER: "it takes too much: effort"}

    asyncio.run(ask())


def test_the_loop_has_its_turn_between_any_two_answers() -> None:
    async def slow(_: PeerId, __: Message) -> Message:
        time.sleep(0.02)  # noqa: ASYNC251 (what a long answer is)
        return None

    async def ask() -> None:
        conduct = Conduct(Wires().carrier("asked"), time.monotonic)
        answer = Effort(conduct, time.monotonic).limiting(slow)
        asking = [asyncio.create_task(answer(PeerId(str(n)), None)) for n in range(20)]
        turns = 0
        while not all(task.done() for task in asking):
            await asyncio.sleep(0)
            turns += 1
        assert turns >= len(asking)

    asyncio.run(ask())
