"""The first interrupt lets the run at hand finish, the next one ends at once."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def heeding_interrupts(
    *, first: Callable[[], object], later: Callable[[], object]
) -> Iterator[Callable[[], int]]:
    """Call `first`, then `later`, when somebody interrupts; yield what counts how often it was."""
    loop = asyncio.get_running_loop()
    interrupts = 0

    def interrupted() -> None:
        nonlocal interrupts
        interrupts += 1
        (first if interrupts == 1 else later)()

    for number in _SIGNALS:
        loop.add_signal_handler(number, interrupted)
    try:
        yield lambda: interrupts
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
