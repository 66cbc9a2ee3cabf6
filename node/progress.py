"""Says on stderr what takes long: each step once, a long one with how far it is."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from node.terminal import plain

Progress: TypeAlias = Callable[[str, float], None]  # what, and how much of it is done, 0 to 1

_INTERVAL_S = 2.0


def silent(_what: str, _share: float) -> None:
    """Say nothing."""


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
