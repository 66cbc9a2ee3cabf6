"""The download of training text during a session, beyond what the first run needs.

An error does not affect runs: it is reported, and the download is retried while the node works.
"""

import asyncio
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from node.home.faults import explaining_faults
from node.processes.supervisor import Backoff
from node.terminal.progress import Progress, in_thread
from protocol.errors import ArnodeError
from trainer.measuring.kind import Prepared

GENTLY: Final = 10  # nice level: the current run has priority
FIRST_PAUSE_S: Final = 5.0
LONGEST_PAUSE_S: Final = 3600.0

_REPORT_EVERY_S = 60.0
_HEALTHY_S = 600.0
_log = logging.getLogger("node")


class ThrottledReport:
    """A filter that passes on at most one line a minute from a frequent source."""

    def __init__(
        self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._say, self._clock = say, clock
        self._reported_s = clock()

    def __call__(self, line: str) -> None:
        if self._clock() - self._reported_s >= _REPORT_EVERY_S:
            self._reported_s = self._clock()
            self._say(line)


def pauses() -> Backoff:
    """Return the waits between attempts to reach a server that may be down for a night."""
    return Backoff(first_s=FIRST_PAUSE_S, longest_s=LONGEST_PAUSE_S, healthy_s=_HEALTHY_S)


@asynccontextmanager
async def loading_rest(
    data: Prepared, folder: Path, say: Callable[[str], None]
) -> AsyncIterator[None]:
    """Download the missing part of the data under `folder` while the block lasts."""
    loading = asyncio.create_task(_load_rest(data, folder, say))
    try:
        yield
    finally:
        loading.cancel()
        await asyncio.wait([loading])


async def _load_rest(data: Prepared, folder: Path, say: Callable[[str], None]) -> None:
    if data.is_complete:
        return
    loop = asyncio.get_running_loop()
    say("training text is still loading; runs start with the part that is already here")
    throttled_report, backoff = ThrottledReport(say), pauses()

    def report(what: str, share: float) -> None:
        loop.call_soon_threadsafe(throttled_report, f"{what} … {share:.0%}")

    while not data.is_complete:
        began_s = time.monotonic()
        try:
            with explaining_faults(folder):
                await in_thread(_gently(data.load_rest), report)
        except ArnodeError as fault:
            wait_s = backoff.wait_s(time.monotonic() - began_s)
            _log.warning(
                "training text is incomplete, next try in %g s: %s (%s)",
                wait_s,
                fault.message,
                fault.hint,
            )
            await asyncio.sleep(wait_s)
        except Exception:  # noqa: BLE001 (a supervisor: the node goes on with what is here)
            _log.exception("training text is incomplete; no more is loaded in this session")
            return
    say(f"all training text is here: {data.training_size:,} tokens")


def _gently(work: Callable[[Progress], None]) -> Callable[[Progress], None]:
    """Wrap a function so that it runs with low priority in a new thread."""

    def lower() -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), GENTLY)

    def do(progress: Progress) -> None:
        with ThreadPoolExecutor(1, initializer=lower) as pool:
            pool.submit(work, progress).result()

    return do
