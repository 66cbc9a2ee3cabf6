"""A slow proposer that works while runs are made, on at most one proposal at a time.

No caller waits for it. A caller that needs an idea at once uses another proposer.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

from agent.completion import NO_COST
from agent.model.asking import Resting
from agent.proposal import Context, NoProposal, Proposal, SlowProposer


class SlowIdeas:
    """The proposals of one slow proposer.

    `name` is the proposer's name among all proposers, by default `proposer.name`. `text` names the
    owner's instructions that it follows; "" means the task's. If a proposal is missing for a new
    reason, `say` reports the reason and that the proposers called `others` continue meanwhile.
    """

    def __init__(
        self,
        proposer: SlowProposer,
        *,
        say: Callable[[str], None],
        name: str = "",
        text: str = "",
        others: str = "search",
        on_written: Callable[[], None] = lambda: None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Call `on_written` when a proposal, or the reason for its absence, is ready."""
        self.name = name or proposer.name
        self.text = text
        self._proposer = proposer
        self._who = f"{proposer.name} with `{text}`" if text else proposer.name
        self._others = others
        self._say = say
        self._on_written = on_written
        self._rest = Resting(clock_s)
        self._writing: asyncio.Task[Proposal | NoProposal] | None = None
        self._in_vain = NO_COST  # cost since it last wrote something

    @property
    def is_wanting(self) -> bool:
        """True if it may begin to write: it is neither writing nor resting."""
        return self._writing is None and not self._rest.is_on

    @property
    def is_writing(self) -> bool:
        """True until its proposal is taken."""
        return self._writing is not None

    @property
    def is_ready(self) -> bool:
        """True if its proposal, or the reason for the absence of one, can be taken."""
        return self._writing is not None and self._writing.done()

    @property
    def rests_s(self) -> float:
        """The seconds until it may be asked."""
        return self._rest.left_s

    @property
    def waiting(self) -> str:
        """The reason it may not be asked now; "" if it may."""
        return self._rest.why

    def begin(self, context: Context) -> None:
        """Start writing the next proposal."""
        if self.is_wanting:
            self._writing = asyncio.create_task(self._proposer.propose(context))
            self._writing.add_done_callback(lambda _: self._on_written())

    def take(self) -> Proposal | None:
        """Return the finished proposal, if any. Its cost includes that of failures before it."""
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
            self._say(f"{self._who}: {written.reason}; {self._others} continue meanwhile")
        return None

    async def close(self) -> None:
        """Cancel the proposal that is being written, if any."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
