"""A slow proposer at work beside the runs: one proposal is being written or waits, at any time.

Nothing here waits for it: whoever needs an idea now and finds none takes one from elsewhere.
"""

import asyncio
import time
from collections.abc import Callable

from agent.proposal import Context, Proposal, Silence, SlowProposer


class SlowIdeas:
    """Keeps a slow proposer writing. `say` is told why it has nothing, whenever that changes."""

    def __init__(
        self,
        proposer: SlowProposer,
        *,
        say: Callable[[str], None],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._proposer = proposer
        self._say = say
        self._clock_s = clock_s
        self._writing: asyncio.Task[Proposal | Silence] | None = None
        self._rests_until_s = float("-inf")
        self._told = ""

    @property
    def is_wanting(self) -> bool:
        """Whether it has nothing to do and does not rest."""
        return self._writing is None and self._clock_s() >= self._rests_until_s

    def begin(self, context: Context) -> None:
        """Have the next proposal written."""
        if self.is_wanting:
            self._writing = asyncio.create_task(self._proposer.propose(context))

    def take(self) -> Proposal | None:
        """Return what has been written, if anything is there."""
        if self._writing is None or not self._writing.done():
            return None
        written, self._writing = self._writing.result(), None
        if isinstance(written, Proposal):
            if self._told:
                self._say(f"{self._proposer.name} proposes again")
            self._told = ""
            return written
        self._rests_until_s = self._clock_s() + written.retry_s
        if written.reason != self._told:
            self._told = written.reason
            self._say(f"{self._proposer.name}: {written.reason}; knobs go on meanwhile")
        return None

    async def close(self) -> None:
        """Let go of what is being written."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
