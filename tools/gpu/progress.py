"""Progress messages on stderr, so that nobody waits for minutes before a blank screen."""

import asyncio
import sys
import time
from collections.abc import Coroutine
from typing import Final, TypeVar

T = TypeVar("T")

_STARTED_S: Final = time.monotonic()
_EVERY_S: Final = 10.0


def say(what: str) -> None:
    """Print a line with the seconds since the start."""
    print(f"{time.monotonic() - _STARTED_S:6.1f} s  {what}", file=sys.stderr, flush=True)


async def with_progress(what: str, work: Coroutine[object, object, T]) -> T:
    """Await work, printing its name at the start and every ten seconds."""
    say(what)
    started_s = time.monotonic()
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            await asyncio.wait([task], timeout=_EVERY_S)
            if not task.done():
                say(f"{what}: {time.monotonic() - started_s:.0f} s")
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
    return task.result()
