"""Which knobs matter, for whoever writes prompts: reckoned in a thread, told as last known.

It takes seconds after many trials, so nobody waits for it; and it changes little with each trial,
so it is not reckoned for each prompt.
"""

import asyncio
from typing import Final

from agent.proposal import Context, KnobImportance

_EXPERIMENTS: Final = 10  # that come in before it is reckoned anew


class Importance:
    """Keeps what is known of one line's knobs."""

    def __init__(self) -> None:
        self._known: tuple[KnobImportance, ...] = ()
        self._due = 0
        self._reckoned: asyncio.Task[tuple[KnobImportance, ...]] | None = None

    @property
    def known(self) -> tuple[KnobImportance, ...]:
        """The importance of knobs as last reckoned, none before that."""
        if self._reckoned is not None and self._reckoned.done():
            self._known, self._reckoned = self._reckoned.result(), None
        return self._known

    def renew(self, context: Context) -> None:
        """Begin to reckon it for what is known now, unless hardly more is known than before."""
        made = len(context.history)
        if self._reckoned is None and made >= self._due:
            self._due = made + _EXPERIMENTS
            self._reckoned = asyncio.create_task(asyncio.to_thread(_importance_of, context))

    async def close(self) -> None:
        """Let go of what is being reckoned."""
        if self._reckoned is not None:
            self._reckoned.cancel()
            await asyncio.gather(self._reckoned, return_exceptions=True)
            self._reckoned = None


def _importance_of(context: Context) -> tuple[KnobImportance, ...]:
    from agent.knobs.importance import importance_of  # and numpy with it

    return importance_of(context)
