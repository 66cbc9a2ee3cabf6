"""The time of day as records carry it, and how much of it passes."""

import time
from typing import Final

# By how much clocks may differ: what is further ahead waits until its time has come.
EARLY_MS: Final = 10 * 60 * 1000


def clock_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def is_to_come(at_s: float, now_s: float, *, most_s: float) -> bool:
    """Say whether a time is to come yet, of two by a clock that may jump.

    It is further ahead than the most that it can be where the clock was put back: then it has come.
    """
    return now_s < at_s <= now_s + most_s


def passing_s() -> float:
    """Seconds from anywhere, those for which the machine is suspended too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
