"""A slow proposer at work beside the runs: one proposal is being written or waits, at any time.

Nothing here waits for it: whoever needs an idea now and finds none takes one from elsewhere.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

from agent.completion import NO_COST
from agent.model.asking import Resting
from agent.proposal import Context, Proposal, Silence, SlowProposer


class SlowIdeas:
    """What one slow proposer writes, told the owner's text of the name `text` ("": the task's own).

    `name` is what it is called among those that propose, its own name if none is told. `say` is
    told why it has nothing, whenever that changes, and that `others` go on meanwhile.
    """

    def __init__(
        self,
        proposer: SlowProposer,
        *,
        say: Callable[[str], None],
        name: str = "",
        text: str = "",
        others: str = "knobs",
        on_written: Callable[[], None] = lambda: None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_written` is called when a proposal, or the reason for none, is there to be taken."""
        self.name = name or proposer.name
        self.text = text
        self._proposer = proposer
        self._who = f"{proposer.name}, told `{text}`," if text else proposer.name
        self._others = others
        self._say = say
        self._on_written = on_written
        self._rest = Resting(clock_s)
        self._writing: asyncio.Task[Proposal | Silence] | None = None
        self._in_vain = NO_COST  # since it last wrote something

    @property
    def is_wanting(self) -> bool:
        """Whether it has nothing to do and does not rest."""
        return self._writing is None and not self._rest.is_on

    @property
    def is_writing(self) -> bool:
        """True until what it writes is taken."""
        return self._writing is not None

    @property
    def rests_s(self) -> float:
        """For how many seconds it is not to be asked."""
        return self._rest.left_s

    @property
    def rests(self) -> str:
        """Why it is not to be asked now, "" if it may be."""
        return self._rest.why

    def begin(self, context: Context) -> None:
        """Have the next proposal written."""
        if self.is_wanting:
            self._writing = asyncio.create_task(self._proposer.propose(context))
            self._writing.add_done_callback(lambda _: self._on_written())

    def take(self) -> Proposal | None:
        """Return what has been written, if anything is; it bears the cost of earlier failures."""
        if self._writing is None or not self._writing.done():
            return None
        written, self._writing = self._writing.result(), None
        if isinstance(written, Proposal):
            if self._rest.end():
                self._say(f"{self._who} proposes again")
            cost, self._in_vain = self._in_vain + written.cost, NO_COST
            return replace(written, cost=cost)
        self._in_vain += written.cost
        if self._rest.begin(written):
            self._say(f"{self._who}: {written.reason}; {self._others} go on meanwhile")
        return None

    async def close(self) -> None:
        """Let go of what is being written."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
