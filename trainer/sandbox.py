"""One sandbox of tier full: bubblewrap and seccomp around one Python process.

Invariant: nothing of the host is writable inside, nothing but `trainer.visible` is readable, and
when `close` returns no process of the sandbox is left. Knows nothing of tasks or metrics.

Call `launch` from the main thread: `--die-with-parent` follows the thread that spawned.
"""

import asyncio
import contextlib
import os
import signal
import socket
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from protocol.errors import SafetyError
from trainer.harness.channel import HEADER, READY
from trainer.seccomp import seccomp_program
from trainer.visible import INTERPRETER, visible_tree

Role = Literal["train", "serve"]
End = Literal["exit", "killed", "memory", "output", "threads"]

_START_TIMEOUT_S = 120.0  # importing torch from a cold disk on a laptop
_WATCH_INTERVAL_S = 0.1
_SETTLE_TIMEOUT_S = 2.0
_END_TIMEOUT_S = 10.0  # a killed namespace takes milliseconds
_TAIL_BYTES = 16 * 1024
_CPU_CLOCK = 2  # CPUCLOCK_SCHED of clock_getcpuclockid(3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What one sandbox may use. Sizes in bytes; `single_process` forbids new processes."""

    role: Role
    memory_bytes: int
    scratch_bytes: int
    output_bytes: int = 4 << 20
    threads: int = 64
    single_process: bool = True


class SandboxEnded(Exception):  # noqa: N818 -- an event the runner turns into a run's status
    """The other end closed, or a limit ended the sandbox, before the expected frame was whole."""


class ForgedFrame(Exception):  # noqa: N818 -- likewise
    """A frame that the protocol does not allow here."""


class Sandbox:
    """A launched sandbox: frames, metering and its end. Make one with `Sandbox.launch`."""

    def __init__(
        self, profile: Profile, process: asyncio.subprocess.Process, channel: socket.socket
    ) -> None:
        self.profile = profile
        self.peak_memory_bytes = 0
        self.end: End | None = None
        self._process = process
        self._channel = channel
        self._pid = 0
        self._init: int | None = None  # pidfd of the sandbox's process 1; the last one to die
        self._cpu_s = 0.0
        self._output = bytearray()
        self._output_bytes = 0
        self._tasks = [asyncio.create_task(self._drain_output())]

    @classmethod
    async def launch(cls, profile: Profile) -> "Sandbox":
        """Start a sandbox and wait until it is warm. Raises SafetyError when it does not start."""
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        ours.setblocking(False)
        program, program_writer = os.pipe()
        os.write(program_writer, seccomp_program(single_process=profile.single_process))
        os.close(program_writer)
        try:
            process = await asyncio.create_subprocess_exec(
                *_command(profile, channel=theirs.fileno(), program=program),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env={"PATH": os.defpath},
                cwd="/",
                start_new_session=True,  # a terminal's Ctrl-C is for the node, not for its runs
                pass_fds=(theirs.fileno(), program),
            )
        except FileNotFoundError as error:
            ours.close()
            raise SafetyError(
                "bubblewrap (bwrap) is not installed, so nothing can be run safely",
                "install your distribution's package `bubblewrap`, then `arnode doctor`",
            ) from error
        finally:
            theirs.close()
            os.close(program)
        sandbox = cls(profile, process, ours)
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                await sandbox._await_ready()
        except (TimeoutError, SandboxEnded, ForgedFrame, asyncio.CancelledError) as error:
            await sandbox.close()
            if isinstance(error, asyncio.CancelledError):
                raise
            last_line = sandbox.output_tail().strip().rpartition("\n")[2]
            raise SafetyError(
                f"the sandbox did not start: {last_line or 'no answer'}",
                "`arnode doctor` names what is missing and how to mend it",
            ) from error
        return sandbox

    async def send(self, tag: bytes, payload: bytes = b"", descriptor: int | None = None) -> None:
        """Send a frame; a descriptor travels beside its first bytes."""
        loop = asyncio.get_running_loop()
        header = HEADER.pack(tag, len(payload))
        try:
            if descriptor is not None:
                await self._until_writable()
                sent = socket.send_fds(self._channel, [header], [descriptor])
                header = header[sent:]
            await loop.sock_sendall(self._channel, header + payload)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise SandboxEnded from error

    async def receive(self, tag: bytes, *, at_most: int, exactly: int | None = None) -> bytes:
        """Return the next frame's payload.

        Raises ForgedFrame for another tag or size, SandboxEnded when the sandbox ends first.
        """
        got, size = HEADER.unpack(await self._read(HEADER.size))
        if got != tag:
            raise ForgedFrame(f"expected frame {tag.decode()}, got {got!r}")
        if size > at_most or (exactly is not None and size != exactly):
            raise ForgedFrame(f"a frame of {size} bytes where {exactly or at_most} are allowed")
        return await self._read(size)

    def cpu_s(self) -> float:
        """CPU seconds of the sandboxed process so far (its last reading once it has ended)."""
        with contextlib.suppress(OSError):
            self._cpu_s = time.clock_gettime((~self._pid << 3) | _CPU_CLOCK)
        return self._cpu_s

    def output_tail(self) -> str:
        """The end of what the candidate printed, for logs: never a source of numbers."""
        return self._output.decode("utf-8", "replace")

    async def settled(self) -> None:
        """Wait until a sandbox that ended by itself is gone and its output is read."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_TIMEOUT_S):
                await self._process.wait()
                await self._tasks[0]

    async def close(self) -> None:
        """Kill whatever is left and wait until nothing is."""
        self.cpu_s()
        self._stop("killed")
        self._channel.close()
        await self._process.wait()
        await self._until_empty()
        for task in self._tasks[1:]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _until_empty(self) -> None:
        """Wait for the end of process 1: the kernel lets it go after everything else in there.

        Neither the end of bwrap outside tells (something may have killed only that) nor that of
        the output (a candidate may close its own and live on).
        """
        if self._init is None:
            return
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(self._init, ended.set)
        try:
            async with asyncio.timeout(_END_TIMEOUT_S):
                await ended.wait()
        except TimeoutError as error:
            raise SafetyError(
                "a sandbox does not end", "a process of it hangs in the kernel: look at `ps -el`"
            ) from error
        finally:
            loop.remove_reader(self._init)
            os.close(self._init)
            self._init = None

    def _stop(self, reason: End) -> None:
        if self._process.returncode is None:
            self.end = self.end or reason
            with contextlib.suppress(ProcessLookupError):
                if self._init is None:
                    self._process.kill()
                else:  # bwrap outside then reaps it; killed first it would leave a zombie
                    signal.pidfd_send_signal(self._init, signal.SIGKILL)

    async def _await_ready(self) -> None:
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self._channel, readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(self._channel)
        space = socket.CMSG_SPACE(struct.calcsize("3i"))
        header, ancillary, _, _ = self._channel.recvmsg(HEADER.size, space)
        if header != HEADER.pack(READY, 0):
            raise SandboxEnded
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
                # The kernel translates the sender's pid into our namespace.
                self._pid = struct.unpack("3i", data[:12])[0]
                try:
                    self._init = os.pidfd_open(_status(self._pid, "PPid"))
                except OSError as error:  # it has died since
                    raise SandboxEnded from error
        self._channel.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
        self._tasks.append(asyncio.create_task(self._watch()))

    async def _until_writable(self) -> None:
        loop = asyncio.get_running_loop()
        writable = asyncio.Event()
        loop.add_writer(self._channel, writable.set)
        try:
            await writable.wait()
        finally:
            loop.remove_writer(self._channel)

    async def _read(self, size: int) -> bytes:
        loop = asyncio.get_running_loop()
        data = bytearray(size)
        view, filled = memoryview(data), 0
        while filled < size:
            try:
                got = await loop.sock_recv_into(self._channel, view[filled:])
            except ConnectionResetError as error:
                raise SandboxEnded from error
            if not got:
                raise SandboxEnded
            filled += got
        return bytes(data)

    async def _drain_output(self) -> None:
        stream = self._process.stdout
        assert stream is not None  # noqa: S101 -- PIPE was asked for
        while chunk := await stream.read(1 << 16):
            self._output_bytes += len(chunk)
            self._output = (self._output + chunk)[-_TAIL_BYTES:]
            if self._output_bytes > self.profile.output_bytes:
                self._stop("output")

    async def _watch(self) -> None:
        """Kill on too much memory or too many threads, in all processes of the sandbox together."""
        while self._process.returncode is None:
            # From bwrap down: a daemon's parent is process 1 of the sandbox, not its first program.
            pids = _family(self._process.pid)
            resident = sum(map(_held_kib, pids)) * 1024
            self.peak_memory_bytes = max(self.peak_memory_bytes, resident)
            if resident > self.profile.memory_bytes and (
                # Resident pages count shared ones in full; the proportional share is exact, slower.
                sum(map(_proportional_kib, pids)) * 1024 > self.profile.memory_bytes
            ):
                self._stop("memory")
            if sum(_status(pid, "Threads") for pid in pids) > self.profile.threads:
                self._stop("threads")
            await asyncio.sleep(_WATCH_INTERVAL_S)


def _command(profile: Profile, *, channel: int, program: int) -> list[str]:
    arguments = [
        "bwrap", "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent",
        "--new-session", "--clearenv", "--cap-drop", "ALL", "--uid", "1000", "--gid", "1000",
        "--hostname", "sandbox",
    ]  # fmt: skip
    environment = {
        "HOME": "/job",
        "LANG": "C.UTF-8",
        "LD_LIBRARY_PATH": "/python/lib",
        "OMP_NUM_THREADS": "1",
        "PATH": "/python/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": "/tmp",  # noqa: S108 -- the sandbox's own
        "USER": "candidate",
    }
    for name, value in environment.items():
        arguments += ["--setenv", name, value]
    tree = visible_tree()
    for binding in tree.bindings:
        arguments += ["--ro-bind", str(binding.host), binding.inside]
    for path in tree.covered:
        arguments += ["--size", "4096", "--tmpfs", path, "--remount-ro", path]
    # To the kernel a candidate of root's node is root, the owner of /proc/sys (core_pattern!) and,
    # like any candidate, of the sandbox's process 1 (/proc/1/mem): nothing there may be written.
    arguments += ["--proc", "/proc", "--remount-ro", "/proc"]
    # /dev/zero is covered: mapped shared it is memory that no process' size shows.
    arguments += ["--dev", "/dev", "--dev-bind", "/dev/null", "/dev/zero"]
    for path in ("/dev/shm", "/tmp", "/job"):  # noqa: S108
        arguments += ["--size", str(profile.scratch_bytes), "--tmpfs", path]
    # `/` and `/dev` are writable and unbounded unless they are sealed last.
    arguments += ["--chdir", "/job", "--remount-ro", "/dev", "--remount-ro", "/"]
    arguments += ["--seccomp", str(program), "--", INTERPRETER, "-I", "-S", "-B"]
    return [*arguments, "/arnode/trainer/harness/boot.py", str(channel), profile.role]


def _family(pid: int) -> list[int]:
    """A process and its descendants."""
    family = [pid]
    for member in family:
        with contextlib.suppress(OSError):
            for children in Path(f"/proc/{member}/task").glob("*/children"):
                family += map(int, children.read_text().split())
    return family


def _status(pid: int, field: str) -> int:
    """A number of /proc/PID/status (kibibytes for sizes); 0 once the process is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1])
    return 0


def _held_kib(pid: int) -> int:
    """What a process holds: also page tables, which mapping much and touching little makes grow."""
    return sum(_status(pid, field) for field in ("VmRSS", "VmSwap", "VmPTE", "HugetlbPages"))


def _proportional_kib(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return _held_kib(pid) - _status(pid, "VmRSS") + int(line.split()[1])
    return _held_kib(pid)  # a process may hide its maps from us: then its pages count in full
