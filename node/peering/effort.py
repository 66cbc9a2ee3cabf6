"""How much of the core's time peers' questions take: a share in all, and so much for each peer.

A question of a kilobyte can take a millisecond to answer, one of a hundred a third of a second,
and the loop that research goes by answers them. So they are answered one after the other, and
wait when they have taken more than their share; a peer that goes on asking for much is refused.
The clock is passed in, in seconds.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from node.network.limits import Allowance, Kind, Pacer, PeerId
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
        self._pacer = Pacer(clock, Allowance(per_s=SHARE, burst=BURST_S))

    def limiting(self, answer: Answer) -> Answer:
        """Return an answer that waits for its turn."""

        async def answer_in_turn(peer: PeerId, question: Message) -> Message:
            async with self._turn:
                await asyncio.sleep(self._pacer.wait_s(0.0))
                if not await self._conduct.allows(peer, Kind.EFFORT, 0.0):
                    raise RefusedError("its questions have taken enough time")
                started_s = self._clock()
                try:
                    return await answer(peer, question)
                finally:
                    await self._note(peer, self._clock() - started_s)

        return answer_in_turn

    async def _note(self, peer: PeerId, took_s: float) -> None:
        self._pacer.wait_s(took_s)  # is for the next to wait
        await self._conduct.allows(peer, Kind.EFFORT, took_s)
