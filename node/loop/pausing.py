"""Whether a session is paused, and until when."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from node.loop.session_plan import local_time


class Pause:
    """A switch that goes back by itself where somebody said after how long."""

    def __init__(self) -> None:
        self.is_on = False
        self.until: datetime | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def left_s(self) -> float | None:
        """For how long it stays on, None where nobody said."""
        return (self.until - local_time()).total_seconds() if self.until else None

    @property
    def stage(self) -> str:
        """What people are told that the node does."""
        return f"paused until {self.until:%H:%M}" if self.until else "paused"

    def begin(self, for_s: float | None, resume: Callable[[], None]) -> None:
        """Begin, or change for how long; `resume` is called when that is over."""
        self.end()
        self.is_on = True
        if for_s is not None:
            self.until = local_time() + timedelta(seconds=for_s)
            self._timer = asyncio.get_running_loop().call_later(max(0.0, for_s), resume)

    def end(self) -> None:
        """Go back, whether it was on or not."""
        self.is_on, self.until = False, None
        self.close()

    def close(self) -> None:
        """Stay as it is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
