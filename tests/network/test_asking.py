"""Questions to a peer go over one stream for each protocol, as long as there are some."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio

from node.home.addresses import PeerId
from node.network import asking
from node.network.asking import QuestionStreams
from node.network.contract import QUESTIONS_PER_PEER
from node.network.errors import FrameError
from node.network.frames import FrameStream
from node.network.host import running_host
from tests.network.arena import ECHO, echo, run, settings, until
from tests.network.cores import running_core
from tests.network.test_core_link import answering

Serve = Callable[[PeerId, FrameStream], Awaitable[None]]


class Counted:
    """Counts streams that peers opened, and those that have ended."""

    def __init__(self, serve: Serve) -> None:
        self.opened = self.ended = 0
        self._serve = serve

    async def __call__(self, peer: PeerId, frames: FrameStream) -> None:
        self.opened += 1
        try:
            await self._serve(peer, frames)
        finally:
            self.ended += 1


@asynccontextmanager
async def asked(serve: Serve) -> AsyncIterator[tuple[QuestionStreams, PeerId, Counted]]:
    async with (
        running_host(settings()) as host,
        running_host(settings()) as other,
        trio.open_nursery() as nursery,
    ):
        counted = Counted(serve)
        other.serve(ECHO, counted)
        peer = await host.connect(other.addresses[0])
        asks = QuestionStreams(host, nursery)
        nursery.start_soon(asks.run)
        yield asks, peer, counted
        nursery.cancel_scope.cancel()


async def answers_once(_: PeerId, frames: FrameStream) -> None:
    await frames.send(await frames.receive())


@pytest.mark.parametrize(
    ("serve", "opened"), [(echo, 1), (answers_once, 3)], ids=["is kept", "the peer closes it"]
)
def test_a_stream_is_for_many_questions_unless_the_peer_closes_it(
    serve: Serve, opened: int
) -> None:
    async def test() -> None:
        async with asked(serve) as (asks, peer, counted):
            for question in range(3):
                assert await asks.ask(peer, ECHO, question) == question
            assert counted.opened == opened

    run(test)


def test_questions_at_once_have_a_stream_each_and_one_of_them_is_kept() -> None:
    async def test() -> None:
        async with asked(echo) as (asks, peer, counted):
            async with trio.open_nursery() as nursery:
                for question in range(3):
                    nursery.start_soon(asks.ask, peer, ECHO, question)
            assert counted.opened == 3
            await until(lambda: counted.ended == 2)
            assert await asks.ask(peer, ECHO, "again") == "again"
            assert counted.opened == 3

    run(test)


def test_a_stream_that_nobody_asks_on_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "KEPT_S", 0.2)
    monkeypatch.setattr(asking, "_LOOKED_S", 0.05)

    async def test() -> None:
        async with asked(echo) as (asks, peer, counted):
            assert await asks.ask(peer, ECHO, 1) == 1
            assert counted.ended == 0
            await until(lambda: counted.ended == 1)
            assert await asks.ask(peer, ECHO, 2) == 2
            assert counted.opened == 2

    run(test)


def test_after_a_failed_answer_the_stream_is_not_used_again() -> None:
    async def rude(_: PeerId, frames: FrameStream) -> None:
        await frames.receive()
        await frames._stream.write(b"\0\0\0\1\xc1")
        await trio.sleep_forever()

    async def test() -> None:
        async with asked(rude) as (asks, peer, counted):
            for _attempt in range(2):
                with pytest.raises(FrameError):
                    await asks.ask(peer, ECHO, 1)
            assert counted.opened == 2

    run(test)


def test_streams_without_a_question_keep_none_waiting() -> None:
    async def test() -> None:
        async with running_core() as core, running_host(settings()) as host:
            await host.connect(core.address)
            for _ in range(2 * QUESTIONS_PER_PEER):
                await host.open(core.peer_id, ECHO)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(answering, core)
                async with await host.open(core.peer_id, ECHO) as frames:
                    await frames.send("heard")
                    assert await frames.receive() == "heard"
                nursery.cancel_scope.cancel()

    run(test)
