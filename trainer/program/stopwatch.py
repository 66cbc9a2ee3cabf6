"""The clock of a candidate's code, with a limit that others on the machine do not use up.

Where strangers take the processors, whatever runs gets a share of them: so the limit is as many
times as long, up to `_MOST_STRETCH`. Nobody gains by it but who would have ended in time alone.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final

from trainer.measuring.metering import RunFailed

_MOST_STRETCH: Final = 8.0
_BEFORE_S: Final = 0.005  # so long before a limit it is looked whether it stands


class Stopwatch:
    """Counts the seconds in which a candidate's code runs, and ends them at a limit."""

    def __init__(
        self,
        limit_s: float,
        name: str,
        *,
        strangers_share: Callable[[], float],
        since_s: float | None = None,
    ) -> None:
        """`strangers_share`: what strangers use, as a share of all processors' time; `since_s`:
        when it began to run, if that is before a block is entered.
        """
        self.used_s = 0.0
        self._limit_s = limit_s
        self._name = name
        self._strangers_share = strangers_share
        self._since_s = since_s

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Let the clock run in a block. Raises RunFailed at the limit."""
        began_s = self._since_s or time.monotonic()
        self._since_s = None
        loop = asyncio.get_running_loop()
        alone_s = loop.time() + began_s - time.monotonic() + self._limit_s - self.used_s
        ends_s = alone_s if alone_s > loop.time() else self._end(alone_s)
        try:
            async with asyncio.timeout_at(ends_s) as limit:
                with self._stretching(limit, ends_s, alone_s):
                    yield
        except TimeoutError as error:
            raise RunFailed(
                "timeout", f"{self._name} took more than {self._limit_s:g} s"
            ) from error
        finally:
            self.used_s += time.monotonic() - began_s

    def next(self, name: str, *, limit_s: float | None = None) -> "Stopwatch":
        """Return one that runs from now on, for what comes next; by default with the same limit."""
        return Stopwatch(
            self._limit_s if limit_s is None else limit_s,
            name,
            strangers_share=self._strangers_share,
            since_s=time.monotonic(),
        )

    @contextlib.contextmanager
    def _stretching(self, limit: asyncio.Timeout, ends_s: float, alone_s: float) -> Iterator[None]:
        """Put a limit off when it is nearly reached, by what strangers have taken of it."""
        loop = asyncio.get_running_loop()
        looking: list[asyncio.TimerHandle] = []

        def look_before(at_s: float) -> None:
            looking[:] = [loop.call_at(at_s - _BEFORE_S, stretch, at_s)]

        def stretch(at_s: float) -> None:
            later_s = self._end(alone_s)
            if later_s > at_s + _BEFORE_S and not limit.expired():
                limit.reschedule(later_s)
                look_before(later_s)

        look_before(ends_s)
        try:
            yield
        finally:
            looking[0].cancel()

    def _end(self, alone_s: float) -> float:
        """Return when the limit is reached, in the loop's seconds: `alone_s` if nobody else is."""
        return alone_s + self._limit_s * (self._stretch() - 1)

    def _stretch(self) -> float:
        share = self._strangers_share()
        return _MOST_STRETCH if share >= 1 else min(_MOST_STRETCH, 1 / (1 - share))
