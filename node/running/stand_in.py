"""The stand-in task, which uses the device while another task's data are downloaded.

A child process prepares the wanted task, since training a vocabulary blocks Python for seconds. It
is restarted until it succeeds. Then the node ends the stand-in after the current run.
"""

import asyncio
import logging
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from node.home.config import Config
from node.home.home import Home
from node.line.open_task import STAND_IN, load_named
from node.loop.research import Research
from node.processes.child import printable
from node.processes.lifeline import Lifeline
from node.running.loading import GENTLY, ThrottledReport, pauses
from node.terminal.durations import span_words
from protocol.errors import ConfigurationError
from trainer.card_selftest.report import Fault
from trainer.host.interpreter import program_command
from trainer.task_folder.task import Download, NotPreparedError
from trainer.task_kinds import kind_of, why_no_card

_LINE_MBIT_S: Final = 100  # a common speed of an internet connection

_log = logging.getLogger("node")


def awaited_download(home: Home, wanted: str) -> Download | None:
    """Return the download that a task needs before it can run; None if everything is here.

    Raises what `load_task` raises.
    """
    try:
        task = load_named(home, wanted)
    except NotPreparedError as unsettled:
        return unsettled.download
    if kind_of(task.manifest).has_first(task, data_dir=home.data):
        return None
    return task.recipe.download


def require_use(download: Download, config: Config) -> None:
    """Raise ConfigurationError if the download is only for a card that is not available.

    Only cards that `gpus` names are available. `arnode task prepare` downloads the data anyway.
    """
    fault = why_no_card(config.gpus) if download.needs_card else None
    if fault is None:
        return
    raise ConfigurationError(
        f"task {config.task} is made for an NVIDIA card, and {fault.message}: nothing was"
        f" downloaded. The download has {download_text(download)}",
        "`arnode start` works on `tiny` on the processor, `arnode start --text FILE` on your own"
        f" text; {fault.hint}; to train {config.task} at toy size on the processor:"
        f" `arnode task prepare {config.task}`, then start again",
    )


def find_no_room(download: Download, folder: Path) -> Fault | None:
    """Return a fault if the download, and the tokens made of it, do not fit on the disk."""
    if download.file_mb is None:
        return None
    needed_mb = 2 * download.files * download.file_mb
    place = next(path for path in (folder, *folder.parents) if path.exists())
    free_mb = shutil.disk_usage(place).free / 1e6
    if free_mb >= needed_mb:
        return None
    return Fault(
        name="disk-full",
        said=f"{needed_mb / 1e3:.1f} GB are needed under {place}, {free_mb / 1e3:.1f} GB are free",
        hint="free some space there, or move ARNODE_HOME",
    )


def download_text(download: Download) -> str:
    """Return the size and the duration of a download in words, as far as the task gives them."""
    file_mb = download.file_mb
    if file_mb is None:
        return f"{download.files} files of unknown size"

    def part(files: int) -> str:
        size_mb = files * file_mb
        return f"{size_mb / 1e3:.1f} GB in {files} files ({span_words(size_mb * 8 / _LINE_MBIT_S)})"

    return (
        f"about {part(download.files)} at {_LINE_MBIT_S} Mbit/s; of these, the first run waits for"
        f" {part(download.first_files)}; tokenizing takes longer than the download"
    )


class Preparation:
    """The preparation of a task until it has all that its first run needs."""

    def __init__(self, home: Home, wanted: str) -> None:
        self.name = Path(wanted).name
        self._home = home
        self._wanted = wanted
        self._ready = asyncio.Event()
        self._say: Callable[[str], None] = _log.info
        self._state = "beginning"
        self._throttled_report = ThrottledReport(self._report)

    @property
    def is_done(self) -> bool:
        """True if everything for a first run is here."""
        return self._ready.is_set()

    def _report(self, line: str) -> None:
        self._say(line)

    @asynccontextmanager
    async def reporting_to(self, research: Research) -> AsyncIterator[None]:
        """Report progress in the stand-in's session, and end the session once the task is ready."""
        self._say = research.activity.say
        self._say(
            f"{self.name}'s data are being fetched ({self._state}): meanwhile {STAND_IN} runs"
        )
        waiting = asyncio.create_task(self._end_stand_in(research))
        try:
            yield
        finally:
            waiting.cancel()
            self._say = _log.info

    async def _end_stand_in(self, research: Research) -> None:
        await self._ready.wait()
        research.give_way(f"{self.name}'s data are here: {STAND_IN} ends after the current run")

    async def work(self) -> None:
        """Prepare the task, and retry after failures; report each failure once."""
        backoff, last_fault = pauses(), ""
        while True:
            began_s = time.monotonic()
            try:
                fault = await self._attempt()
            except OSError as error:  # the system cannot start a process
                fault = str(error)
            if fault is None:
                break
            wait_s = backoff.wait_s(time.monotonic() - began_s)
            if fault != last_fault:
                self._say(f"cannot prepare {self.name}'s data, trying again later: {fault}")
                last_fault = fault
            self._state = fault
            await asyncio.sleep(wait_s)
        self._ready.set()

    async def _attempt(self) -> str | None:
        """Run a child process to its end; return the reason of a failure."""
        lifeline = Lifeline()
        process = await lifeline.start(
            [
                *program_command("node.commands.cli", flags=()),
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
                self._throttled_report(f"{self.name}'s data: {lines[-1]}")
            if await process.wait() == 0:
                return None
        finally:
            lifeline.cut()
            await process.wait()
        # The last lines of a command's output are the error and its hint.
        output = " ".join(lines)
        return (
            output.partition("arnode: ")[2].replace(" hint: ", "; ")
            or output
            or f"exit {process.returncode}"
        )


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
