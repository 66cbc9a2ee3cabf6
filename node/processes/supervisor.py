"""A supervisor that keeps a child program running and restarts it when it dies."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, NoReturn, TypeVar

from node.processes.channel import ProcessChannel
from node.processes.child import ChildProgram
from protocol.errors import ArnodeError, describe_fault
from protocol.framing import ChannelError

M = TypeVar("M")


@dataclass(slots=True, kw_only=True)
class Backoff:
    """Waits that double from `first_s` to `longest_s`; reset if a process lived `healthy_s`."""

    first_s: float = 0.5
    longest_s: float = 60.0
    healthy_s: float = 60.0
    _next_s: float = 0.0

    def wait_s(self, lived_s: float) -> float:
        """Return the seconds to wait after a process that lived `lived_s` seconds."""
        if self._next_s == 0 or lived_s >= self.healthy_s:
            self._next_s = self.first_s
        wait_s = self._next_s
        self._next_s = min(2 * wait_s, self.longest_s)
        return wait_s


class Supervisor(Generic[M]):
    """A supervisor that restarts a process when it dies; the waits grow if processes die soon.

    `live` serves one process over its channel until the channel closes. If `live` raises an error,
    the process is ended. `on_death` gets the reason and the seconds until the next start. It
    returns True if the process is to be restarted.

    `run` raises no error if a process dies or cannot be started.
    """

    def __init__(
        self,
        program: ChildProgram[M],
        live: Callable[[ProcessChannel[M]], Awaitable[NoReturn]],
        *,
        on_death: Callable[[ArnodeError, float], bool],
    ) -> None:
        self._program = program
        self._live = live
        self._on_death = on_death
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start `run` in an asyncio task, unless it was started before."""
        if self._task is None:
            self._task = asyncio.create_task(self.run())

    async def stop(self) -> None:
        """Stop the asyncio task, and wait until its process has ended. Safe before `start`."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def run(self) -> None:
        """Run until `on_death` returns False. If cancelled, end the process first."""
        backoff, is_wanted = Backoff(), True
        while is_wanted:
            born_s = time.monotonic()
            why = await self._one_life()
            wait_s = backoff.wait_s(time.monotonic() - born_s)
            if is_wanted := self._on_death(why, wait_s):
                await asyncio.sleep(wait_s)

    async def _one_life(self) -> ArnodeError:
        """Run one process until it ends, and return the reason."""
        name = self._program.name
        try:
            async with self._program.running() as channel:
                await self._live(channel)
        except ChannelError as fault:
            return ArnodeError(f"{name} died ({fault.message})", fault.hint)
        except ArnodeError as fault:
            return fault
        except Exception as fault:  # noqa: BLE001 (a supervisor: the node goes on without)
            return ArnodeError(f"{name} cannot be run: {describe_fault(fault)}")
