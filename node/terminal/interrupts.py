"""The first interrupt lets the run at hand finish, the next one ends at once."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

STOPPING: Final = "stopping after the run at hand; again to end now"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


async def until_interrupted(work: Coroutine[Any, Any, None], *, first: Callable[[], object]) -> int:
    """Do work to its end; call `first` when somebody interrupts, and end it when they do again.

    Return how often that was.
    """
    loop = asyncio.get_running_loop()
    working = loop.create_task(work)
    interrupts = 0

    def interrupted() -> None:
        nonlocal interrupts
        interrupts += 1
        (first if interrupts == 1 else working.cancel)()

    for number in _SIGNALS:
        loop.add_signal_handler(number, interrupted)
    try:
        with suppress(asyncio.CancelledError):
            await working
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
    return interrupts
