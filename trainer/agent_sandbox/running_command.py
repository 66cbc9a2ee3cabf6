"""Starts a command in an agent sandbox, enforces its limits, reads its output, and ends it.

This module talks to the agent sandbox's first process (`trainer.agent_sandbox.first_process`),
which outlives the node. The kernel limits the size of each file and, with namespaces, of the
folders in memory. All other usage is checked several times per second. This module does not
depend on the command's purpose and files.
"""

import asyncio
import contextlib
import json
import logging
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from trainer.agent_sandbox import first_process
from trainer.agent_sandbox.first_process import AgentSandboxSpec
from trainer.host.interpreter import python_command
from trainer.host.processes import family_of, held_kib, proportional_kib, status_number
from trainer.sandbox.backend import held, in_time

Excess = Literal["memory", "threads", "files"]
End = Excess | Literal["exit", "killed", "time", "output"]

_TAIL_BYTES = 256 * 1024  # enough for a whole JSON object with a long text in it
_WATCH_INTERVAL_S = 0.1
_GROWTH_INTERVAL_S = 1.0
_SAID: dict[End, str] = {
    "exit": "it ended",
    "killed": "it was killed",
    "time": "it took longer than {limit_s:.0f} s",
    "memory": "it took more than {memory_bytes} bytes of memory",
    "output": "it printed more than {output_bytes} bytes",
    "threads": "it had more than {threads} threads",
    "files": "it wrote more than {scratch_bytes} bytes or {scratch_files} files, or made a folder"
    " unreadable",
}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentLimits:
    """The limits of one command, with sizes in bytes; `scratch_*` limit each writable folder."""

    limit_s: float
    memory_bytes: int = 4 << 30
    scratch_bytes: int = 256 << 20
    scratch_files: int = 20_000
    output_bytes: int = 64 << 20
    threads: int = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The folders in which a command may write.

    `folder` is its temporary folder, `kept` are folders of the user's home directory. `in_memory`
    are the folders that are kept in memory, named by their paths inside the sandbox; it is empty
    without namespaces.
    """

    folder: Path
    kept: tuple[Path, ...]
    in_memory: tuple[Path, ...]


class RunningCommand:
    """A running command. Start one with `RunningCommand.begin`, and always `close` it."""

    def __init__(
        self, process: asyncio.subprocess.Process, limits: AgentLimits, places: Places
    ) -> None:
        self.end: End = "exit"
        self._process = process
        self._limits = limits
        self._places = places
        self._output = bytearray()
        self._output_bytes = 0
        self._reader = asyncio.create_task(self._read_output())
        self._watched = asyncio.create_task(self._watch())

    @classmethod
    async def begin(
        cls, spec: AgentSandboxSpec, limits: AgentLimits, places: Places
    ) -> "RunningCommand":
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *(*python_command("-S", "-B"), first_process.__file__),
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env={"PATH": os.defpath},
            cwd="/",
            start_new_session=True,  # a terminal's Ctrl-C must reach only the node
        )
        assert process.stdin is not None  # noqa: S101 -- PIPE was asked for
        # Not as an argument: other users of this machine could read the keys in it.
        process.stdin.write(json.dumps(asdict(spec)).encode() + first_process.END_OF_SPEC)
        return cls(process, limits, places)

    async def status(self) -> int | None:
        """Wait for the end. Return the exit status, or None if killed; `fault` has the reason.

        The folder exists until `close`.
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
            if said:  # from our own process: the command's output does not come this way
                rest = await self._process.stderr.read()
                _log.error("the agent sandbox's first process failed: %s", (said + rest).decode())
        await self._reader
        return int(said) if self.end == "exit" else None

    async def close(self) -> None:
        """End all processes and remove the folder; wait for both."""
        self._let_go()
        try:
            await in_time(self._process.wait())
        finally:
            self._watched.cancel()
            self._reader.cancel()
            await asyncio.gather(self._watched, self._reader, return_exceptions=True)

    @property
    def fault(self) -> str:
        """A message that says why the command ended."""
        return _SAID[self.end].format(**asdict(self._limits))

    @property
    def output_tail(self) -> str:
        """The end of the command's output: untrusted text, for logs and for people."""
        return self._output.decode("utf-8", "replace")

    def _stop(self, reason: End) -> None:
        if self.end == "exit":
            self.end = reason
        self._let_go()

    def _let_go(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()

    async def _read_output(self) -> None:
        """Read all output, so that no process blocks on a full pipe, and keep the end of it."""
        assert self._process.stdout is not None  # noqa: S101 -- PIPE was asked for
        while chunk := await self._process.stdout.read(1 << 16):
            self._output_bytes += len(chunk)
            self._output = (self._output + chunk)[-_TAIL_BYTES:]
            if self._output_bytes > self._limits.output_bytes:
                self._stop("output")

    async def _watch(self) -> None:
        """Stop the command if it exceeds a limit, or if it can no longer be watched."""
        try:
            await self._watch_limits()
        except Exception:  # noqa: BLE001 -- logged; an unwatched command must not continue
            _log.exception("a command cannot be watched, so it is ended")
            self._stop("killed")

    async def _watch_limits(self) -> None:
        kept, looked_s = self._places.kept, time.monotonic()
        before = [await asyncio.to_thread(held, [folder]) for folder in kept]
        while self.end == "exit":
            found = await asyncio.to_thread(_excess, self._process.pid, self._places, self._limits)
            if found is None and time.monotonic() - looked_s >= _GROWTH_INTERVAL_S:
                # These are the user's own folders, which may be full already: measure the growth.
                for folder, was in zip(kept, before, strict=True):
                    if await asyncio.to_thread(_has_grown, folder, was, self._limits):
                        found = "files"
                looked_s = time.monotonic()
            if found is not None:
                self._stop(found)
            await asyncio.sleep(_WATCH_INTERVAL_S)


def _excess(root: int, places: Places, limits: AgentLimits) -> Excess | None:
    """Return the limit exceeded by the first process `root` and its descendants, if any."""
    pids = family_of(root)
    if sum(status_number(pid, "Threads") for pid in pids) > limits.threads:
        return "threads"
    most_kib = limits.memory_bytes // 1024
    # First count shared pages in full, which is faster than counting their share.
    if sum(map(held_kib, pids)) > most_kib and sum(map(proportional_kib, pids)) > most_kib:
        return "memory"
    is_full = _has_grown(places.folder, (0, 0), limits)
    return "files" if is_full or _is_memory_full(pids, places, limits) else None


def _has_grown(folder: Path, before: tuple[float, float], limits: AgentLimits) -> bool:
    most_bytes, most_files = before[0] + limits.scratch_bytes, before[1] + limits.scratch_files
    size, files = held([folder], most_bytes=most_bytes, most_files=most_files)
    return size > most_bytes or files > most_files


def _is_memory_full(pids: list[int], places: Places, limits: AgentLimits) -> bool:
    """Return True if a folder in memory has too many files; its mount limits only bytes."""
    if len(pids) < 3:  # the agent sandbox's first process, bwrap outside, process 1 inside
        return False
    for folder in places.in_memory:
        with contextlib.suppress(OSError):  # the sandbox is being built, or has ended
            inside = Path(f"/proc/{pids[2]}/root{folder}")
            space = os.statvfs(inside)
            # Process 1 sees the host's folders until its own are mounted.
            is_its_own = not folder.exists() or inside.stat().st_dev != folder.stat().st_dev
            if is_its_own and space.f_files - space.f_ffree > limits.scratch_files:
                return True
    return False
