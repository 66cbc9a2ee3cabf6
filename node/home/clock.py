"""The wall-clock time that records carry, and a clock for durations."""

import time
from typing import Final

# The tolerance for clocks that differ. Records further in the future wait in quarantine.
EARLY_MS: Final = 10 * 60 * 1000


def clock_ms() -> int:
    """Return the milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def is_in_future(at_s: float, now_s: float, *, most_s: float) -> bool:
    """Return True if `at_s` is in the future, but at most `most_s` away.

    No wait is longer than `most_s`. If `at_s` is further away, the clock must have been set back.
    Then `at_s` counts as reached.
    """
    return now_s < at_s <= now_s + most_s


def boottime_s() -> float:
    """Return seconds from an arbitrary start, including those during which the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
