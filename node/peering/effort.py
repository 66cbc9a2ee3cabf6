"""How much of the core's time peers' questions take: a share in all, and so much for each peer.

A question of a kilobyte can take a millisecond to answer, one of a hundred a third of a second,
and the loop that research goes by answers them. So they are answered one after the other, and
wait when they have taken more than their share; a peer that goes on asking for much is refused.
The clock is passed in, in seconds.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from node.network.limits import Kind, PeerId
from node.peering.carrier import Answer, Message
from node.peering.conduct import Conduct
from node.peering.messages import RefusedError

SHARE: Final = 0.25
# What may be taken at once after a quiet time: a newcomer's pages come without waiting.
BURST_S: Final = 5.0


class Effort:
    """Answers questions in turn."""

    def __init__(self, conduct: Conduct, clock: Callable[[], float]) -> None:
        self._conduct = conduct
        self._clock = clock
        self._turn = asyncio.Lock()
        # A bucket by the time at which it would be full (GCRA, ITU-T I.371).
        self._full_at_s = clock()

    def limiting(self, answer: Answer) -> Answer:
        """Return an answer that waits for its turn."""

        async def answer_in_turn(peer: PeerId, question: Message) -> Message:
            async with self._turn:
                await asyncio.sleep(max(0.0, self._wait_s()))
                if not await self._conduct.allows(peer, Kind.EFFORT, 0.0):
                    raise RefusedError("its questions have taken enough time")
                started_s = self._clock()
                try:
                    return await answer(peer, question)
                finally:
                    await self._note(peer, self._clock() - started_s)

        return answer_in_turn

    def _wait_s(self) -> float:
        return self._full_at_s - self._clock() - BURST_S / SHARE

    async def _note(self, peer: PeerId, took_s: float) -> None:
        self._full_at_s = max(self._full_at_s, self._clock()) + took_s / SHARE
        await self._conduct.allows(peer, Kind.EFFORT, took_s)
