"""The state of a session's pause, and its end."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from node.loop.session_plan import local_time
from node.terminal.durations import clock_words

_LOOKED_S: Final = 30.0  # timers stop while the machine is suspended, its clock does not


class Pause:
    """A switch for a pause. If the pause has a duration, the switch turns itself off afterwards."""

    def __init__(self, *, now: Callable[[], datetime] = local_time) -> None:
        self.is_on = False
        self.until: datetime | None = None
        self._now = now
        self._timer: asyncio.TimerHandle | None = None

    @property
    def left_s(self) -> float | None:
        """The seconds until the pause ends; None without an end."""
        return (self.until - self._now()).total_seconds() if self.until else None

    @property
    def stage(self) -> str:
        """The state of the node, for people."""
        return f"paused until {clock_words(self.until, self._now())}" if self.until else "paused"

    def document(self) -> dict[str, bool | str | None]:
        """Return the state for scripts."""
        until = self.until.isoformat(timespec="seconds") if self.until else None
        return {"paused": self.is_on, "until": until}

    def begin(self, for_s: float | None, resume: Callable[[], None]) -> None:
        """Begin a pause, or change its end; `resume` is called when it is over."""
        self.end()
        self.is_on = True
        if for_s is not None:
            self.until = self._now() + timedelta(seconds=for_s)
            self._await_end(self.until, resume)

    def _await_end(self, until: datetime, resume: Callable[[], None]) -> None:
        left_s = (until - self._now()).total_seconds()

        def look() -> None:
            if self._now() >= until:
                resume()
            else:
                self._await_end(until, resume)

        timers = asyncio.get_running_loop()
        self._timer = timers.call_later(min(max(0.0, left_s), _LOOKED_S), look)

    def end(self) -> None:
        """End the pause, if it is on."""
        self.is_on, self.until = False, None
        self.close()

    def close(self) -> None:
        """Cancel the timer and keep the state."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
