"""One sandbox: a Python process, isolated by the best tier that this machine supports.

It exchanges frames with the harness inside, measures its resource usage, and ends it. When `close`
returns, no process of the sandbox is left. This module is independent of tasks and metrics. A
contract in pyproject.toml lists the modules that may import it, and so start a sandbox.

Call `launch` from the main thread: the kernel kills a sandbox when the thread that spawned it ends.
"""

import asyncio
import contextlib
import math
import socket
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import ClassVar, Literal

from protocol.errors import SafetyError
from trainer.host.processes import (
    exact_cpu_s,
    family_of,
    held_kib,
    pipes_kib,
    proportional_kib,
    status_number,
    used_cpu_s,
    written_bytes,
)
from trainer.sandbox.backend import SandboxBackend, SandboxProcess, to_its_end, until_ready
from trainer.sandbox.compiled import CompiledCode
from trainer.sandbox.frames import ForgedFrame, Frames, SandboxEnded
from trainer.sandbox.inside.channel import HEADER, OUT_OF_MEMORY, READY
from trainer.sandbox.process_limit import bind_process
from trainer.sandbox.profile import Profile, Start
from trainer.sandbox.syscall_gate import SyscallGate
from trainer.sandbox.tier import make_backend
from trainer.sandbox.visible import visible_tree
from trainer.sandbox.zygote import START_TIMEOUT_S, ForkedProcess, Zygote

End = Literal["exit", "killed", "memory", "output", "threads", "files"]

_WATCH_INTERVAL_S = 0.1
_SETTLE_TIMEOUT_S = 2.0
_TAIL_BYTES = 16 * 1024
# Pages that one process may read from disk. The choice of a page leaks at most 17 bits, since
# libraries have 100,000 pages.
_UNNOTICED_PAGES = 2


class Sandbox:
    """A running sandbox: sends frames, measures usage, enforces limits. Make one with `launch`."""

    _open: ClassVar[set["Sandbox"]] = set()
    _closed_cpu_s: ClassVar[float] = 0.0

    def __init__(
        self,
        backend: SandboxBackend,
        process: SandboxProcess,
        channel: socket.socket,
        *,
        asked_s: float,
    ) -> None:
        self.profile = backend.profile
        self.start = Start(asked_s, spawned_s=time.monotonic(), warm_s=math.inf)
        self.keeps_output = True  # True while its output is kept and may be quoted
        self.peak_memory_bytes = 0  # including its files at that time
        self.peak_resident_bytes = 0
        self.written_bytes = 0
        self.end: End | None = None
        self._backend = backend
        self._process = process
        self._channel = channel
        self._frames = Frames(channel)
        self._pid = 0
        self._gate: SyscallGate | None = None
        self._cpu_s = 0.0
        self._output = bytearray()
        self._on_output: Callable[[bytes], None] = lambda _printed: None
        self._output_bytes = 0
        self._tasks = [asyncio.create_task(self._drain_output())]
        self._open.add(self)

    @classmethod
    def cpu_s_of_all(cls) -> float:
        """Return the CPU seconds of all sandboxes of this process so far, and of their zygotes.

        The kernel does not add the CPU time of a killed namespace to that of this process.
        """
        sandboxes_s = cls._closed_cpu_s + sum(map(cls._cpu_s_so_far, cls._open))
        return sandboxes_s + Zygote.cpu_s_of_all()

    def _cpu_s_so_far(self) -> float:
        """Return its CPU seconds, even before it has sent its first message."""
        return self.cpu_s() if self._pid else used_cpu_s(family_of(self._process.pid))

    @classmethod
    async def launch(cls, profile: Profile) -> "Sandbox":
        """Start a sandbox and wait until it is warm. If cancelled meanwhile, leave nothing behind.

        Raises SafetyError if it does not start.
        """
        asked_s = time.monotonic()
        backend = make_backend(profile)
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        ours.setblocking(False)
        try:
            process = await backend.start(theirs.fileno())
        except BaseException:
            ours.close()
            await to_its_end(backend.emptied())
            raise
        finally:
            theirs.close()
        sandbox = cls(backend, process, ours, asked_s=asked_s)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await sandbox._await_ready()
        except (TimeoutError, SandboxEnded, ForgedFrame, asyncio.CancelledError) as error:
            if not isinstance(error, asyncio.CancelledError):
                backend.note_failed_start()
            await sandbox.close()
            if isinstance(error, asyncio.CancelledError):
                raise
            last_line = sandbox.output_tail().strip().rpartition("\n")[2]
            raise SafetyError(
                f"the sandbox did not start: {last_line or 'no answer'}",
                "`arnode doctor` names what is missing and how to fix it",
            ) from error
        return sandbox

    async def send(self, tag: bytes, payload: bytes = b"", descriptor: int | None = None) -> None:
        """Send a frame, as `Frames.send` does."""
        await self._frames.send(tag, payload, descriptor)

    async def receive(self, tag: bytes, size: int = 0) -> bytes:
        """Return the next frame's payload, as `Frames.receive` does."""
        return await self._frames.receive(tag, size)

    async def receive_one(
        self,
        expected: Mapping[bytes, int],
        *,
        on_begun: Callable[[bytes], None] = lambda _tag: None,
    ) -> tuple[bytes, bytes]:
        """Return tag and payload of the next frame, as `Frames.receive_one` does."""
        return await self._frames.receive_one(expected, on_begun=on_begun)

    @property
    def root(self) -> int:
        """The id of its first process, from which all others descend."""
        return self._process.pid

    @property
    def pid(self) -> int:
        """The id, outside the sandbox, of the process that sent the first message."""
        return self._pid

    @property
    def has_ended(self) -> bool:
        """True if it is known to have ended, by itself, by a limit or by an outside signal."""
        return self.end is not None or self._process.returncode is not None

    @property
    def ran_out_of_memory(self) -> bool:
        """True if its program ended because its device had no more memory."""
        return self._process.returncode == OUT_OF_MEMORY

    def fill_compiled(self, code: CompiledCode, tree: bytes) -> None:
        """Copy in the code that an earlier sandbox compiled for a tree, if its profile compiles."""
        self._backend.fill_compiled(code, tree)

    def keep_compiled(self, code: CompiledCode, tree: bytes) -> None:
        """Store the code that it has compiled for a tree, unless some is stored already."""
        if self._backend.compiled is not None and not code.has(tree):
            code.keep(self._backend.compiled, tree)

    async def shut_gate(self) -> None:
        """End the sandbox's access to files for good; kill it if a call is still under way."""
        if self._gate is not None and not await self._gate.shut():
            self._stop("killed")

    def on_output(self, callback: Callable[[bytes], None]) -> None:
        """Call `callback` with its output from now on, unless output is discarded."""
        self._on_output = callback

    def discard_output(self) -> None:
        """Discard its output from now on. Earlier output stays."""
        self.keeps_output = False

    def cpu_s(self) -> float:
        """Return the CPU seconds of its process so far; once it has ended, the last reading."""
        with contextlib.suppress(OSError):
            if self._pid:
                self._cpu_s = exact_cpu_s(self._pid)
        return self._cpu_s

    async def ended(self) -> int:
        """Wait until its program has ended by itself; return its exit status.

        `cpu_s` is then exact if the sandbox was forked, else the watchdog's last reading.
        """
        status = await self._process.wait()
        if isinstance(self._process, ForkedProcess):
            self._cpu_s = max(self._cpu_s, self._process.used_cpu_s or 0.0)
        return status

    @property
    def printed_bytes(self) -> int:
        """The number of bytes of its output so far, whether or not they are kept."""
        return self._output_bytes

    def note_written(self) -> None:
        """Record how many bytes its processes have written so far. Call this before they end."""
        written = written_bytes(family_of(self._process.pid or self._pid))
        self.written_bytes = max(self.written_bytes, written)

    def metered_s(self) -> float:
        """Return a clock's reading in seconds; only differences are meaningful.

        The clock counts CPU seconds or, with a card, elapsed seconds.
        """
        return self.cpu_s() if self.profile.card is None else time.monotonic()

    def output_tail(self) -> str:
        """Return the end of the candidate's output, for logs: never a source of numbers."""
        return self._output.decode("utf-8", "replace")

    async def settled(self) -> None:
        """Wait until a sandbox that ended by itself is gone and its output is read."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_TIMEOUT_S):
                await self._process.wait()
                await self._tasks[0]

    async def close(self) -> None:
        """Kill all its processes and wait until they are gone, even if cancelled meanwhile."""
        await to_its_end(self._end_all())

    async def _end_all(self) -> None:
        if self in self._open:
            self._open.remove(self)
            Sandbox._closed_cpu_s += self.cpu_s()
        self._stop("killed")
        if self._gate is not None:
            self._gate.close()
            self._gate = None
        self._channel.close()
        await self._backend.emptied()
        self.peak_resident_bytes = max(self.peak_resident_bytes, self._process.peak_bytes)
        self.peak_memory_bytes = max(self.peak_memory_bytes, self._process.peak_bytes)
        self.written_bytes = max(self.written_bytes, self._process.written_bytes)
        if self._process.pages_read > _UNNOTICED_PAGES:
            # Which pages are in memory now could be a message to the next sandbox: load all.
            await asyncio.to_thread(visible_tree().keep_in_memory)
        for task in self._tasks[1:]:
            task.cancel()
        for ended in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended

    def _stop(self, reason: End) -> None:
        if self._process.returncode is None:
            self.end = self.end or reason
            self._backend.kill()

    async def _await_ready(self) -> None:
        await until_ready(self._channel.fileno())
        space = socket.CMSG_SPACE(struct.calcsize("3i")) + socket.CMSG_SPACE(4)
        header, ancillary, _, _ = self._channel.recvmsg(HEADER.size, space)
        if header != HEADER.pack(READY, 0):
            raise SandboxEnded
        self.start = replace(self.start, warm_s=time.monotonic())
        listener = None
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
                # The kernel translates the sender's pid into our namespace.
                self._pid = struct.unpack("3i", data[:12])[0]
                try:
                    self._backend.attach(self._pid)
                except OSError as error:  # it has died since
                    raise SandboxEnded from error
                bind_process(self._pid, self.profile.threads)
            elif level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                listener = struct.unpack("i", data[:4])[0]
        if listener is not None:
            try:
                self._gate = SyscallGate(listener, self._pid)
            except ProcessLookupError as error:
                raise SandboxEnded from error
        if self._gate is not None and status_number(self._pid, "Threads") > 1:
            raise SandboxEnded  # a filter does not bind threads that started before it
        self._channel.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
        self._tasks.append(asyncio.create_task(self._watch()))

    async def _drain_output(self) -> None:
        stream = self._process.stdout
        assert stream is not None  # noqa: S101 -- PIPE was asked for
        while chunk := await stream.read(1 << 16):
            self._output_bytes += len(chunk)
            self._keep(chunk)
            if self._output_bytes > self.profile.output_bytes:
                self._stop("output")

    def _keep(self, chunk: bytes) -> None:
        if self.keeps_output:
            self._output = (self._output + chunk)[-_TAIL_BYTES:]
            self._on_output(chunk)

    async def _watch(self) -> None:
        """Kill the sandbox if it exceeds its memory, files or threads, or if watching fails."""
        try:
            await self._watch_limits()
        except Exception:
            self._stop("killed")
            raise

    async def _watch_limits(self) -> None:
        while self._process.returncode is None:
            # Start at the first process outside, because a daemon is no descendant of the program.
            pids = family_of(self._process.pid)
            # Check threads before memory: if shared pages are counted in full, many processes look
            # like much memory.
            if sum(status_number(pid, "Threads") for pid in pids) > self.profile.threads:
                self._stop("threads")
            in_pipes = pipes_kib(pids) * 1024 if self.profile.may_have_pipes else 0
            resident = sum(map(held_kib, pids)) * 1024 + in_pipes
            in_files = self._backend.files_bytes() if self.profile.role == "solve" else 0
            self.peak_resident_bytes = max(self.peak_resident_bytes, resident)
            self.peak_memory_bytes = max(self.peak_memory_bytes, resident + in_files)
            if resident > self.profile.memory_bytes and (
                # Resident size counts shared pages in full; proportional size is exact but slower.
                sum(map(proportional_kib, pids)) * 1024 + in_pipes > self.profile.memory_bytes
            ):
                self._stop("memory")
            self.cpu_s()  # read it now: the process may end by itself
            if self._backend.is_overfull():
                self._stop("files")
            await asyncio.sleep(_WATCH_INTERVAL_S)
