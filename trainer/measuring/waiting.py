"""Helpers for long work: show progress, and let only one process do it at a time."""

import asyncio
import fcntl
import os
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from trainer.measuring.kind import Progress

T = TypeVar("T")
_WORD_S: Final = 1.0
_LOOKED_S: Final = 0.2


def waited(work: Coroutine[object, object, T], say: Callable[[], None]) -> T:
    """Run a coroutine to its end and call `say` every second; if `say` raises, cancel it."""

    async def wait() -> T:
        working = asyncio.create_task(work)
        try:
            while not working.done():
                await asyncio.wait({working}, timeout=_WORD_S)
                say()
            return working.result()
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    return asyncio.run(wait())


@contextmanager
def one_at_a_time(path: Path, progress: Progress) -> Iterator[None]:
    """Hold the lock at `path`, so that one of several processes and threads does the work."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not _locked(descriptor):
            progress("waiting for another arnode that prepares the same data", 0.0)
            time.sleep(_LOOKED_S)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
