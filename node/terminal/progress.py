"""Progress of long steps on stderr: one line of text per step, repeated for long steps."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias, TypeVar

from node.terminal.terminal import say
from protocol.codecs import plain

Progress: TypeAlias = Callable[[str, float], None]  # the step, and the share done, 0 to 1

T = TypeVar("T")

_INTERVAL_S = 2.0


class _GivenUp(Exception):  # noqa: N818 -- only ends a thread
    """Raised in a thread to end its work."""


def silent(_what: str, _share: float) -> None:
    """Report no progress."""


async def in_thread(work: Callable[[Progress], T], progress: Progress) -> T:
    """Run `work` in a thread and return its result.

    If the caller is cancelled, the thread ends at its next progress report. Otherwise an
    interrupted program would wait for it, because Python waits for threads at exit.
    """
    is_given_up = threading.Event()

    def say(what: str, share: float) -> None:
        if is_given_up.is_set():
            raise _GivenUp
        progress(what, share)

    try:
        return await asyncio.to_thread(work, say)
    except asyncio.CancelledError:
        is_given_up.set()
        raise


@contextmanager
def announced(what: str) -> Iterator[None]:
    """Print on stderr what the block does, if it takes longer than two seconds."""
    timer = threading.Timer(_INTERVAL_S, say, (f"  {plain(what)} …",), {"err": True})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def reporting() -> Iterator[Progress]:
    """Yield a progress callback that writes to stderr."""
    last, shown_s = "", 0.0

    def progress(what: str, share: float) -> None:
        nonlocal last, shown_s
        is_new, now_s = what != last, time.monotonic()
        if is_new or now_s - shown_s >= _INTERVAL_S:
            known = "" if share >= 1 else " …" if is_new else f" … {share:.0%}"
            say(f"  {plain(what)}{known}", err=True)
            last, shown_s = what, now_s

    yield progress
