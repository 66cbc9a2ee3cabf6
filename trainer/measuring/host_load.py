"""How busy others keep this machine's processors while we measure.

CPU seconds stretch when neighbours share caches and cores, so a ceiling of CPU seconds blames a
candidate for them. Source: proc(5), /proc/stat.
"""

import os
import time
from pathlib import Path
from typing import Final

from trainer.sandbox.sandbox import Sandbox

NOTICEABLE: Final = 0.1  # of all processors: an editor and a browser at rest stay below it
_IDLE_FIELDS = (3, 4)  # idle, iowait


class HostLoad:
    """Watches from its making on."""

    def __init__(self) -> None:
        self._busy_s, self._own_s, self._wall_s = _busy_s(), _own_s(), time.monotonic()

    def share(self) -> float:
        """What others used since then, as a share of all processors' time."""
        capacity_s = (time.monotonic() - self._wall_s) * (os.cpu_count() or 1)
        foreign_s = _busy_s() - self._busy_s - (_own_s() - self._own_s)
        return max(0.0, foreign_s / capacity_s) if capacity_s > 0 else 0.0

    def is_noticeable(self) -> bool:
        """Whether others used so much that our CPU seconds may have stretched."""
        return self.share() > NOTICEABLE


def _busy_s() -> float:
    """Seconds that all processors worked since the machine started; stolen time is work."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]]
    idle = sum(ticks[field] for field in _IDLE_FIELDS)
    return (sum(ticks) - idle) / os.sysconf("SC_CLK_TCK")


def _own_s() -> float:
    """CPU seconds of this process and its sandboxes."""
    return time.process_time() + Sandbox.cpu_s_of_all()
