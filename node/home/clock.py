"""The time of day as records carry it."""

import time
from typing import Final

# By how much clocks may differ: what is further ahead waits until its time has come.
EARLY_MS: Final = 10 * 60 * 1000


def clock_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000
