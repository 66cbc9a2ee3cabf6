"""Handling of interrupts: the first one lets the current run finish, the next one stops it."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

STOPPING: Final = "stopping after this run; Ctrl-C again to stop now"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


async def until_interrupted(
    work: Coroutine[Any, Any, None],
    *,
    first: Callable[[], object],
    ask: Callable[[], bool] = lambda: False,
) -> int:
    """Run `work` to its end; call `first` at the first interrupt, and cancel `work` at the next.

    Interrupts are SIGINT and SIGTERM. If the first one is SIGINT, `ask` is called instead of
    `first`. It returns True if it asks the user what to do, and False if `first` is to be called
    after all. Return the number of interrupts.
    """
    loop = asyncio.get_running_loop()
    working = loop.create_task(work)
    interrupts = 0

    def interrupted(number: signal.Signals) -> None:
        nonlocal interrupts
        interrupts += 1
        if interrupts > 1:
            working.cancel()
        elif number != signal.SIGINT or not ask():
            first()

    for number in _SIGNALS:
        loop.add_signal_handler(number, interrupted, number)
    try:
        with suppress(asyncio.CancelledError):
            await working
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
    return interrupts
