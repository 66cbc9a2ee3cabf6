"""Questions to peers, over streams that are kept open for later questions.

Opening a stream and negotiating its protocol takes three times as long as a question and its
answer.
"""

from typing import Final, TypeAlias

import trio

from node.home.addresses import PeerId
from node.network.errors import FrameCutError, StreamEndedError
from node.network.frames import FrameStream
from node.network.host import NetworkHost
from node.network.peer_budgets import ALLOWANCES, Allowance, Buckets, CostKind
from protocol.framing import Message

# Longer than the interval between two hellos, and half the time that a peer waits for a question.
KEPT_S: Final = 15.0
_LOOKED_S = 5.0

# Half of what a peer allows, since clocks differ and some questions are still in transit.
QUESTIONS, STREAMS = (
    Allowance(per_s=ALLOWANCES[kind].per_s / 2, burst=ALLOWANCES[kind].burst / 2)
    for kind in (CostKind.QUESTIONS, CostKind.STREAMS)
)

_Way: TypeAlias = tuple[PeerId, str]


class QuestionStreams:
    """A client that asks peers questions over one host's streams, within the peers' rate limits."""

    def __init__(self, host: NetworkHost, nursery: trio.Nursery) -> None:
        self._host = host
        self._nursery = nursery
        self._questions = Buckets[PeerId](trio.current_time, QUESTIONS)
        self._streams = Buckets[PeerId](trio.current_time, STREAMS)
        # Idle streams, each with the time when it became idle.
        self._kept: dict[_Way, tuple[FrameStream, float]] = {}

    async def ask(self, peer: PeerId, protocol: str, question: Message) -> Message:
        """Ask a peer a question of a protocol and return its answer.

        Wait first until the peer's rate limit allows the question.

        Raises:
            FrameError: the peer does not answer.
            NetworkError: the peer is not connected, or does not speak the protocol.
        """
        await trio.sleep(self._questions[peer].wait_s())
        kept = self._kept.pop((peer, protocol), None)
        if kept is not None:
            try:
                return await self._exchange((peer, protocol), kept[0], question)
            except (StreamEndedError, FrameCutError):
                pass  # the peer has closed the stream meanwhile
        await trio.sleep(self._streams[peer].wait_s())
        frames = await self._host.open(peer, protocol)
        return await self._exchange((peer, protocol), frames, question)

    async def run(self) -> None:
        """Close streams that were idle for `KEPT_S`. Never returns."""
        while True:
            await trio.sleep(_LOOKED_S)
            before_s = trio.current_time() - KEPT_S
            for way in [way for way, (_, since_s) in self._kept.items() if since_s <= before_s]:
                self._close(self._kept.pop(way)[0])

    async def _exchange(self, way: _Way, frames: FrameStream, question: Message) -> Message:
        try:
            await frames.send(question)
            answer = await frames.receive()
        except BaseException:
            await frames.reset()
            raise
        if way in self._kept:  # another task asked the same peer meanwhile
            self._close(frames)
        else:
            self._kept[way] = (frames, trio.current_time())
        return answer

    def _close(self, frames: FrameStream) -> None:
        # Close it in the background: the peer may be slow to close its end.
        self._nursery.start_soon(frames.aclose)
