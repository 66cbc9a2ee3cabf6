"""Whether the machine was awake throughout: a run that spans a suspend counts for nothing.

Source: clock_gettime(2). CLOCK_BOOTTIME is CLOCK_MONOTONIC and the time for which it was suspended.
"""

import time
from collections.abc import Callable
from typing import Final

_LEAST_S: Final = 0.5  # between two readings of clocks, as on a machine that is overloaded


class Steady:
    """Watches from its making on."""

    def __init__(
        self,
        *,
        awake_s: Callable[[], float] = time.monotonic,
        since_boot_s: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
    ) -> None:
        self._awake_s, self._since_boot_s = awake_s, since_boot_s
        self._slept_s = since_boot_s() - awake_s()

    @property
    def slept_s(self) -> float:
        """For how many seconds the machine was suspended since then."""
        slept_s = self._since_boot_s() - self._awake_s() - self._slept_s
        return slept_s if slept_s >= _LEAST_S else 0.0
