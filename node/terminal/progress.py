"""Says on stderr what takes long: each step once, a long one with how far it is."""

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias, TypeVar

from protocol.codecs import plain

Progress: TypeAlias = Callable[[str, float], None]  # what, and how much of it is done, 0 to 1

T = TypeVar("T")

_INTERVAL_S = 2.0


class _GivenUp(Exception):  # noqa: N818 -- nobody waits for it any more
    """Ends work in a thread."""


def silent(_what: str, _share: float) -> None:
    """Say nothing."""


async def in_thread(work: Callable[[Progress], T], progress: Progress) -> T:
    """Do what takes long in a thread, and return what comes of it.

    If whoever waits is cancelled, it ends when it would next say how far it is: a program that is
    interrupted waits for its threads.
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
def reporting() -> Iterator[Progress]:
    """Yield a progress callback that writes to stderr."""
    last, told_s = "", 0.0

    def progress(what: str, share: float) -> None:
        nonlocal last, told_s
        is_new, now_s = what != last, time.monotonic()
        if is_new or now_s - told_s >= _INTERVAL_S:
            known = "" if share >= 1 else " …" if is_new else f" … {share:.0%}"
            print(f"  {plain(what)}{known}", file=sys.stderr, flush=True)
            last, told_s = what, now_s

    yield progress
