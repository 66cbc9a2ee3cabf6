"""A clock for a candidate's code. Its limit grows while other processes use the processors.

If other users' processes use half of the processors' time, the limit doubles, and so on, up to a
factor of `_MOST_STRETCH`. So code that is fast enough on an idle machine finishes in time.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final

from trainer.measuring.metering import RunFailed

_MOST_STRETCH: Final = 8.0
_BEFORE_S: Final = 0.005  # how long before the limit to check if it must be extended


class Stopwatch:
    """Counts the seconds in which a candidate's code runs, and stops it at a limit."""

    def __init__(
        self,
        limit_s: float,
        name: str,
        *,
        outside_share: Callable[[], float],
        since_s: float | None = None,
    ) -> None:
        """Create a clock that is stopped until `running` is entered.

        `outside_share` returns the share of all processors' time that other users' processes use.
        `since_s` is the code's start time, if it starts before `running` is entered.
        """
        self.used_s = 0.0
        self._limit_s = limit_s
        self._name = name
        self._outside_share = outside_share
        self._since_s = since_s

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Let the clock run during a with block. Raises RunFailed at the limit."""
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
        """Return a clock for the next step, running from now, by default with the same limit."""
        return Stopwatch(
            self._limit_s if limit_s is None else limit_s,
            name,
            outside_share=self._outside_share,
            since_s=time.monotonic(),
        )

    @contextlib.contextmanager
    def _stretching(self, limit: asyncio.Timeout, ends_s: float, alone_s: float) -> Iterator[None]:
        """Extend a limit shortly before it is reached, by the time that other processes took."""
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
        """Return the event loop's time at which the limit ends.

        On a machine without other processes this is `alone_s`. It is later the more processor time
        other processes use.
        """
        return alone_s + self._limit_s * (self._stretch() - 1)

    def _stretch(self) -> float:
        share = self._outside_share()
        return _MOST_STRETCH if share >= 1 else min(_MOST_STRETCH, 1 / (1 - share))
