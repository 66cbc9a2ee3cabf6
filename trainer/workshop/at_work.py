"""One command at work in a workshop: started, watched, heard, and ended in any case.

Talks to the workshop's first process (`trainer.workshop.workbench`), which outlives whatever
happens here. Knows nothing of what the command is for or of what it writes.
"""

import asyncio
import json
import logging
import os
import sys
import time
from dataclasses import asdict
from typing import Literal

from trainer.sandbox.enclosure import in_time
from trainer.workshop import workbench
from trainer.workshop.limits import Excess, Growth, Limits, Places, excess
from trainer.workshop.workbench import Spec

End = Excess | Literal["exit", "killed", "time", "output"]

_TAIL_BYTES = 256 * 1024  # the whole of a JSON object with a long text in it
_WATCH_INTERVAL_S = 0.1
_GROWTH_INTERVAL_S = 1.0
_SAID: dict[End, str] = {
    "exit": "it ended",
    "killed": "it was killed",
    "time": "it took longer than {limit_s:.0f} s",
    "memory": "it took more than {memory_bytes} bytes of memory",
    "output": "it printed more than {output_bytes} bytes",
    "threads": "it had more than {threads} threads",
    "files": "it wrote more than {scratch_bytes} bytes, {scratch_files} files, or closed a folder",
}
_log = logging.getLogger(__name__)


class AtWork:
    """A command at work. Make one with `AtWork.begin`, `close` it in any case."""

    def __init__(self, process: asyncio.subprocess.Process, limits: Limits, places: Places) -> None:
        self.end: End = "exit"
        self._process = process
        self._limits = limits
        self._places = places
        self._output = bytearray()
        self._output_bytes = 0
        self._heard = asyncio.create_task(self._hear())
        self._watched = asyncio.create_task(self._watch())

    @classmethod
    async def begin(cls, spec: Spec, limits: Limits, places: Places) -> "AtWork":
        """Start a command."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", "-B", workbench.__file__,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.defpath},
            cwd="/",
            start_new_session=True,  # a terminal's Ctrl-C is for the node
        )  # fmt: skip
        assert process.stdin is not None  # noqa: S101 -- PIPE was asked for
        # Not as an argument: others of this machine can read those, and keys are in there.
        process.stdin.write(json.dumps(asdict(spec)).encode() + workbench.TOLD)
        return cls(process, limits, places)

    async def status(self) -> int | None:
        """Wait for the end. Return the exit status, or None where `fault` says what ended it.

        The folder is there until `close`.
        """
        assert self._process.stderr is not None  # noqa: S101 -- PIPE was asked for
        try:
            async with asyncio.timeout(self._limits.limit_s):
                said = await self._process.stderr.readline()
        except TimeoutError:
            self._stop("time")
            return None
        if not said.strip().isdigit():
            self._stop("killed")
            if said:  # of ours: the command's own output does not come this way
                rest = await self._process.stderr.read()
                _log.error("the workshop's first process failed: %s", (said + rest).decode())
        await self._heard
        return int(said) if self.end == "exit" else None

    async def close(self) -> None:
        """End everything, have the folder removed and wait for both."""
        self._let_go()
        try:
            await in_time(self._process.wait())
        finally:
            self._watched.cancel()
            self._heard.cancel()
            await asyncio.gather(self._watched, self._heard, return_exceptions=True)

    @property
    def fault(self) -> str:
        """What ended it, in words."""
        return _SAID[self.end].format(**asdict(self._limits))

    @property
    def output_tail(self) -> str:
        """The end of what it printed: foreign text, for logs and for people."""
        return self._output.decode("utf-8", "replace")

    def _stop(self, reason: End) -> None:
        if self.end == "exit":
            self.end = reason
        self._let_go()

    def _let_go(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()

    async def _hear(self) -> None:
        """Read whatever is printed, so that nobody waits to print, and keep the end of it."""
        assert self._process.stdout is not None  # noqa: S101 -- PIPE was asked for
        while chunk := await self._process.stdout.read(1 << 16):
            self._output_bytes += len(chunk)
            self._output = (self._output + chunk)[-_TAIL_BYTES:]
            if self._output_bytes > self._limits.output_bytes:
                self._stop("output")

    async def _watch(self) -> None:
        """Stop it on too much of anything, and if it cannot be watched any more."""
        try:
            await self._watch_limits()
        except Exception:  # noqa: BLE001 -- logged; what nobody watches must not run on
            _log.exception("a command cannot be watched, so it is ended")
            self._stop("killed")

    async def _watch_limits(self) -> None:
        growth = await asyncio.to_thread(Growth, self._places, self._limits)
        looked_s = time.monotonic()
        while self.end == "exit":
            found = await asyncio.to_thread(excess, self._process.pid, self._places, self._limits)
            if found is None and time.monotonic() - looked_s >= _GROWTH_INTERVAL_S:
                found = await asyncio.to_thread(growth.excess)
                looked_s = time.monotonic()
            if found is not None:
                self._stop(found)
            await asyncio.sleep(_WATCH_INTERVAL_S)
