"""While a task's data are on their way another task runs, so that the device does not wait.

A child prepares the one (training a vocabulary holds Python up for seconds), again and again until
it is ready; the node works on the other, and ends that after the run at hand.
"""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from node.home.home import Home
from node.loop.research import Research
from node.processes.child import printable, program_command
from node.processes.lifeline import Lifeline
from node.running.loading import GENTLY, NowAndThen, pauses
from trainer.task_folder.task import NotPreparedError
from trainer.task_kinds import kind_of, load_task

STAND_IN: Final = "tiny"  # needs no data from elsewhere

_log = logging.getLogger("node")


def is_awaited(home: Home, wanted: str) -> bool:
    """Say whether a task's data have to come before it can run. Raises what `load_task` does."""
    try:
        task = load_task(wanted, data_dir=home.data)
        return not kind_of(task.manifest).has_first(task, data_dir=home.data)
    except NotPreparedError:
        return True


class Preparation:
    """Prepares a task until a first run of it has all that it needs."""

    def __init__(self, home: Home, wanted: str) -> None:
        self.name = Path(wanted).name
        self._home = home
        self._wanted = wanted
        self._ready = asyncio.Event()
        self._say: Callable[[str], None] = _log.info
        self._state = "beginning"
        self._now_and_then = NowAndThen(self._tell)

    def _tell(self, line: str) -> None:
        self._say(line)

    @asynccontextmanager
    async def heard(self, research: Research) -> AsyncIterator[None]:
        """Let the stand-in's session say how far it is, and end once the task is ready."""
        self._say = research.activity.say
        self._say(f"{self.name}'s data are on their way ({self._state}): meanwhile {STAND_IN} runs")
        waiting = asyncio.create_task(self._make_way(research))
        try:
            yield
        finally:
            waiting.cancel()
            self._say = _log.info

    async def _make_way(self, research: Research) -> None:
        await self._ready.wait()
        research.give_way(f"{self.name}'s data are here: {STAND_IN} ends after the run at hand")

    async def work(self) -> None:
        """Prepare the task; what fails is said, once, and tried again."""
        backoff, said = pauses(), ""
        while True:
            began_s = time.monotonic()
            try:
                fault = await self._attempt()
            except OSError as error:  # no process can be had, or no memory for one
                fault = str(error)
            if fault is None:
                break
            wait_s = backoff.wait_s(time.monotonic() - began_s)
            if fault != said:
                self._say(f"{self.name}'s data are not to be had, tried again later: {fault}")
                said = fault
            self._state = fault
            await asyncio.sleep(wait_s)
        self._ready.set()

    async def _attempt(self) -> str | None:
        """Run a child to its end; return why it failed."""
        lifeline = Lifeline()
        process = await lifeline.start(
            [
                *program_command("node.commands.cli", flags=("-P",)),
                *("task", "prepare", self._wanted, "--first"),
            ],
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "ARNODE_HOME": str(self._home.root)},
        )
        lines: list[str] = []
        try:
            with suppress(ProcessLookupError):
                os.setpriority(os.PRIO_PGRP, process.pid, GENTLY)
            assert process.stderr is not None  # noqa: S101 -- a pipe
            async for line in process.stderr:
                lines = [*lines[-1:], printable(line.decode("utf-8", "replace")).strip()]
                self._state = lines[-1]
                self._now_and_then(f"{self.name}'s data: {lines[-1]}")
            if await process.wait() == 0:
                return None
        finally:
            lifeline.cut()
            await process.wait()
        # A command ends with what is wrong and how to mend it.
        said = " ".join(lines)
        return said.partition("arnode: ")[2] or said or f"exit {process.returncode}"


@asynccontextmanager
async def preparing(home: Home, wanted: str) -> AsyncIterator[Preparation]:
    """Prepare a task while the block lasts."""
    preparation = Preparation(home, wanted)
    working = asyncio.create_task(preparation.work())
    try:
        yield preparation
    finally:
        working.cancel()
        await asyncio.wait([working])
