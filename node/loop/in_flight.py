"""The runs in progress, by job and ordinal, and what is lost by ending them all."""

import asyncio
import time
from collections.abc import Collection, Coroutine
from dataclasses import dataclass

Key = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """Runs that were ended, and the seconds that the longest of them had run."""

    runs: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        if not self.runs:
            return "nothing was running"
        ended = "1 run was ended" if self.runs == 1 else f"{self.runs} runs were ended"
        return f"{ended} after {self.seconds:.0f} s, to be repeated"


class InFlight:
    """The tasks of runs in progress."""

    def __init__(self) -> None:
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._begun_s: dict[Key, float] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def keys(self) -> Collection[Key]:
        """The keys of the runs in progress."""
        return self._tasks.keys()

    def begin(self, key: Key, measuring: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Start a run and return its task."""
        task = self._tasks[key] = asyncio.create_task(measuring)
        self._begun_s[key] = time.monotonic()
        return task

    async def one_ended(self, *events: asyncio.Event) -> None:
        """Wait until a run ends or one of the events is set."""
        waits = [asyncio.create_task(event.wait()) for event in events]
        await asyncio.wait({*self._tasks.values(), *waits}, return_when="FIRST_COMPLETED")
        for wait in waits:
            wait.cancel()

    def reap(self) -> None:
        """Forget the runs that have ended. Raises what a run raised."""
        for key, task in list(self._tasks.items()):
            if task.done():
                del self._tasks[key], self._begun_s[key]
                if not task.cancelled():  # cancelled by a pause, for example
                    task.result()

    def cancel(self, key: Key) -> None:
        """End a run in progress. It is forgotten once its task has ended."""
        self._tasks[key].cancel()

    async def end_all(self) -> Lost:
        """End all runs, and return once all of their tasks have ended."""
        tasks, now_s = dict(self._tasks), time.monotonic()
        begun_s = {key: self._begun_s[key] for key in tasks}
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        ended = [key for key, task in tasks.items() if task.cancelled()]
        longest_s = max((now_s - begun_s[key] for key in ended), default=0.0)
        return Lost(runs=len(ended), seconds=longest_s)
