"""Starts, uses and replaces the zygotes of this process.

A zygote (`trainer.sandbox.inside.zygote`) is a process that has imported the modules which the
sandboxes of one role need. Each sandbox is a fork of it. All lanes and tasks of this process share
the zygotes. If a zygote is lost, the next caller starts another.
"""

import asyncio
import contextlib
import json
import os
import socket
import struct
import subprocess
from collections.abc import Callable, Hashable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Final

from protocol.errors import SafetyError
from trainer.host.processes import exact_cpu_s, family_of, status_number, used_cpu_s
from trainer.sandbox.backend import until_ready
from trainer.sandbox.inside.zygote import ENDED, MOST_REQUEST_BYTES, READY, ForkRequest
from trainer.sandbox.visible import visible_tree

START_TIMEOUT_S: Final = 120.0  # importing torch from a cold disk on a laptop
_LOOK_S: Final = 0.25
_MOST_FORKS = 1000
_MOST_GROWTH_KIB = 64 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The first process of a zygote, which is outside its sandbox, and the zygote's folder.

    `folder` is None in tier full, where the zygote has no folder on the host.
    """

    process: subprocess.Popen[bytes]
    folder: Path | None = None


class ForkedProcess:
    """A process that a zygote forked, with some of the methods of `asyncio.subprocess.Process`.

    Its `pid` is 0 until `Forked.attach` sets it.
    """

    def __init__(self, stdout: asyncio.StreamReader, end: int) -> None:
        self.pid = 0
        self.stdout = stdout
        self.returncode: int | None = None
        # Totals, set once it has ended; if its zygote is gone, they stay unknown.
        self.used_cpu_s: float | None = None
        self.peak_bytes = 0
        self.written_bytes = 0
        self.pages_read = 0  # read from a disk
        self._ended = asyncio.create_task(self._until_reaped(end))

    async def wait(self) -> int:
        """Wait until it has ended and its zygote has reaped it; return its exit status."""
        return await asyncio.shield(self._ended)

    async def _until_reaped(self, end: int) -> int:
        try:
            await until_ready(end)
            report = os.read(end, ENDED.size)
        finally:
            os.close(end)
        if not report:  # the zygote is gone, and with it all that it forked
            self.returncode = 1
            return 1
        status, self.used_cpu_s, peak_kib, self.pages_read, self.written_bytes = ENDED.unpack(
            report
        )
        self.peak_bytes = peak_kib << 10
        self.returncode = status
        return int(status)


class Zygote:
    """A process to fork sandboxes from. Get one with `Zygote.of`."""

    _fit: ClassVar[dict[Hashable, "Zygote"]] = {}
    _retired: ClassVar[list["Zygote"]] = []  # kept until their forks have ended
    _ended_cpu_s: ClassVar[float] = 0.0

    def __init__(self, start: Callable[[int], Started]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with contextlib.ExitStack() as stack, theirs:
            stack.enter_context(ours)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            ours.setblocking(False)
            started = start(theirs.fileno())
            stack.pop_all()
        self._control = ours
        self.folder = started.folder
        self.is_broken = False
        self._process = started.process
        self._pid = 0
        self._asking = 0  # number of sandboxes that wait to be forked
        self._forks = 0
        self._first_kib = 0
        self._cpu_s = 0.0
        self._packages = _packages()

    @classmethod
    def of(cls, key: Hashable, start: Callable[[int], Started]) -> "Zygote":
        """Return a zygote for a key, started by `start` unless a fit one is running.

        Callers with equal keys share a zygote. `start` gets the descriptor on which the zygote
        receives requests. Call this method from the main thread: the kernel kills a zygote with the
        thread that started it.
        """
        zygote = cls._fit.get(key)
        if zygote is not None and not zygote.is_fit():
            zygote.retire()
            zygote = None
        if zygote is None:
            cls._reap_retired()
            zygote = cls._fit[key] = cls(start)
        return zygote

    @classmethod
    def cpu_s_of_all(cls) -> float:
        """Return the CPU seconds of all zygotes of this process so far, without their forks."""
        cls._reap_retired()
        return cls._ended_cpu_s + sum(one.cpu_s() for one in [*cls._fit.values(), *cls._retired])

    @classmethod
    def _reap_retired(cls) -> None:
        for zygote in [one for one in cls._retired if one.has_ended]:
            cls._retired.remove(zygote)
            cls._ended_cpu_s += zygote.cpu_s()
            zygote.close_pipes()

    @classmethod
    def retire_all(cls) -> None:
        """Retire all zygotes; each ends when its last fork has ended."""
        for zygote in list(cls._fit.values()):
            zygote.retire()

    @classmethod
    def living(cls) -> list["Zygote"]:
        """Return the zygotes that sandboxes are forked from now, warm or not."""
        return list(cls._fit.values())

    @property
    def pid(self) -> int:
        """The id of its process, 0 until it is warm."""
        return self._pid

    def grown_kib(self) -> int:
        """Return the growth of its memory since it got warm, in KiB."""
        return status_number(self._pid, "VmRSS") - self._first_kib

    @property
    def has_ended(self) -> bool:
        """True if its first process outside is gone."""
        return self._process.poll() is not None

    def is_fit(self) -> bool:
        """Return True if another sandbox may be forked from it."""
        if self.is_broken or self.has_ended or self._packages != _packages():
            return False
        if not self._pid:  # still importing
            return True
        return self._forks < _MOST_FORKS and self.grown_kib() <= _MOST_GROWTH_KIB

    def retire(self) -> None:
        """Stop requesting forks from it. It ends when all forks requested so far have ended."""
        for key in [key for key, one in self._fit.items() if one is self]:
            del self._fit[key]
            self._retired.append(self)
        self._close_unless_needed()

    def close_pipes(self) -> None:
        """Close the pipes to its first process outside."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    async def fork(self, request: ForkRequest, channel: int) -> ForkedProcess:
        """Fork a sandbox that uses a channel. Raises SafetyError if the zygote does not work."""
        self._asking += 1
        try:
            return await self._forked(request, channel)
        finally:
            self._asking -= 1
            self._close_unless_needed()

    def _close_unless_needed(self) -> None:
        """Close the descriptor for requests once it is retired and nobody waits for a fork."""
        if not self._asking and self not in self._fit.values():
            self._control.close()

    async def _forked(self, request: ForkRequest, channel: int) -> ForkedProcess:
        await self._until_warm()
        message = json.dumps(asdict(request)).encode()
        assert len(message) <= MOST_REQUEST_BYTES  # noqa: S101 -- filters of a few kilobytes
        with contextlib.ExitStack() as kept, contextlib.ExitStack() as handed:
            output, printed = os.pipe()
            handed.callback(os.close, printed)
            lines = os.fdopen(output, "rb")
            end, end_writer = os.pipe()
            kept.callback(os.close, end)
            handed.callback(os.close, end_writer)
            stdout = asyncio.StreamReader()
            reading, _ = await asyncio.get_running_loop().connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(stdout), lines
            )
            kept.callback(reading.close)
            try:
                socket.send_fds(self._control, [message], [channel, printed, end_writer])
            except OSError as error:
                self.is_broken = True
                raise _not_there("it ended") from error
            kept.pop_all()
        self._forks += 1
        return ForkedProcess(stdout, end)

    async def _until_warm(self) -> None:
        """Wait until it has imported everything; several callers may wait at once."""
        if self._pid:
            return
        waiting = os.dup(self._control.fileno())
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while not self._pid:
                    await self._look(waiting)
        except TimeoutError as error:
            self.is_broken = True
            raise _not_there(f"no answer in {START_TIMEOUT_S:.0f} s") from error
        finally:
            os.close(waiting)

    async def _look(self, waiting: int) -> None:
        """Wait a moment for the message `READY`, unless another caller has read it already."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_S):
                await until_ready(waiting)
            if not self._pid:
                self._note_warm()

    def _note_warm(self) -> None:
        said, ancillary, _, _ = self._control.recvmsg(len(READY), socket.CMSG_SPACE(12))
        if said != READY:
            self.is_broken = True
            raise _not_there(self._last_words())
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
                self._pid = struct.unpack("3i", data[:12])[0]
        self._first_kib = status_number(self._pid, "VmRSS")
        if status_number(self._pid, "Threads") != 1:  # a fork has only the thread that called it
            self.is_broken = True
            raise _not_there("it has more than one thread")

    def _last_words(self) -> str:
        assert self._process.stdout is not None  # noqa: S101 -- PIPE was asked for
        return self._process.stdout.read().decode(errors="replace").strip().rpartition("\n")[2]

    def cpu_s(self) -> float:
        """Return the CPU seconds that it has used so far; once it has ended, the last reading."""
        if not self._pid:
            self._cpu_s = max(self._cpu_s, used_cpu_s(family_of(self._process.pid)))
        with contextlib.suppress(OSError):
            if self._pid:
                self._cpu_s = exact_cpu_s(self._pid)
        return self._cpu_s


def _not_there(why: str) -> SafetyError:
    return SafetyError(
        f"the process that sandboxes are forked from did not start: {why or 'no answer'}",
        "`arnode doctor` names what is missing and how to fix it",
    )


def _packages() -> list[tuple[int, int]]:
    """Return inode and modification time of each visible path: an upgrade changes them."""
    found = []
    for binding in visible_tree().bindings:
        with contextlib.suppress(FileNotFoundError):  # in the middle of an upgrade
            seen = binding.host.stat()
            found.append((seen.st_ino, seen.st_mtime_ns))
    return found
