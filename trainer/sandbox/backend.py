"""The interface of sandbox backends, which isolate one process, and helpers for them.

Each tier has a backend. It starts the process, can kill everything inside, and reports the files
that were written. `trainer.sandbox.sandbox` talks to the process and measures it.
"""

import asyncio
import contextlib
import math
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Coroutine
from pathlib import Path
from typing import Final, Protocol

from protocol.errors import SafetyError
from trainer.cards import nvidia
from trainer.sandbox.compiled import CompiledCode
from trainer.sandbox.inside.channel import FORKS
from trainer.sandbox.profile import Profile
from trainer.sandbox.seccomp import gate_program
from trainer.sandbox.toolchains import toolchain

NICE: Final = 5  # below the node, its network and a desktop, above background loading
_END_TIMEOUT_S = 60.0  # usually milliseconds; longer if a full folder is cleared on a busy disk


class SandboxProcess(Protocol):
    """The first process of a sandbox, as seen from outside."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None: ...

    @property
    def stdout(self) -> asyncio.StreamReader | None: ...

    @property
    def peak_bytes(self) -> int:
        """Its peak memory in bytes, set when it has ended; 0 if unknown."""

    @property
    def written_bytes(self) -> int:
        """The bytes that it wrote to files and pipes, set when it has ended; 0 if unknown."""

    @property
    def pages_read(self) -> int:
        """The pages that were read from a disk for it, set when it has ended; 0 if unknown."""

    async def wait(self) -> int: ...


class SandboxBackend(ABC):
    """The isolation of one process.

    Call `start` from the main thread: the kernel kills the process when the thread that spawned it
    ends.
    """

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.compiled: Path | None = None  # host path of its folder for compiled code

    @abstractmethod
    async def start(self, channel: int) -> SandboxProcess:
        """Start the harness inside, with this descriptor as its channel. Raises SafetyError."""

    def with_low_priority(self, command: list[str]) -> list[str]:
        """Return a command whose processes have a low priority.

        The priority stays normal if the profile allows several processes.
        """
        nice = shutil.which("nice", path=os.defpath)
        is_there = shutil.which(command[0], path=os.defpath)  # if not, that error is reported
        if not (self.profile.single_process and nice and is_there):
            return command
        # Start the first process with it: processes that exist already keep their priority.
        return [nice, "-n", str(NICE), *command]

    @abstractmethod
    def attach(self, pid: int) -> None:
        """Record the sandboxed process's pid. Raises OSError if it has died since."""

    def note_failed_start(self) -> None:  # noqa: B027 -- most have nothing to record
        """Record that the harness did not become ready."""

    @abstractmethod
    def kill(self) -> None:
        """End everything inside; return at once."""

    @abstractmethod
    async def emptied(self) -> None:
        """Wait until no process inside is left, then remove what it wrote."""

    def fill_compiled(self, code: CompiledCode, tree: bytes) -> None:
        """Copy the compiled code stored for a tree into the sandbox's folder `compiled`, if any."""
        if self.compiled is not None:
            code.fill(self.compiled, tree)

    @abstractmethod
    def is_overfull(self) -> bool:
        """Return True if its files exceed the profile's limit of bytes or of files."""

    @abstractmethod
    def files_bytes(self) -> int:
        """Return the present size of the files in its scratch folders."""


async def until_ready(descriptor: int, *, to_write: bool = False) -> None:
    """Wait until a descriptor is readable, or writable with `to_write`.

    A pidfd becomes readable when its process ends.
    """
    loop = asyncio.get_running_loop()
    begin, end = loop.add_reader, loop.remove_reader
    if to_write:
        begin, end = loop.add_writer, loop.remove_writer
    ready = asyncio.Event()
    begin(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        end(descriptor)


async def to_its_end(doing: Coroutine[object, object, None]) -> None:
    """Run a coroutine to its end; a cancellation meanwhile is raised after that."""
    task = asyncio.create_task(doing)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


async def in_time(end: Awaitable[object]) -> None:
    """Await the end of a sandbox. Raises SafetyError if it takes more than 60 s."""
    try:
        async with asyncio.timeout(_END_TIMEOUT_S):
            await end
    except TimeoutError as error:
        raise SafetyError(
            "a sandbox does not end", "one of its processes hangs in the kernel: check `ps -el`"
        ) from error


async def until_gone(pidfd: int) -> None:
    """Wait for the end of a process that is ending, and close its descriptor."""
    try:
        await in_time(until_ready(pidfd))
    finally:
        os.close(pidfd)


def boot_arguments(profile: Profile, channel: int, *, forks: bool = False) -> list[str]:
    """Return the harness's arguments: its channel, its role and, if it is gated, the gate's filter.

    A zygote gets the descriptor for its requests as the channel, and no gate.
    """
    if forks:
        return [str(channel), profile.role, FORKS]
    gate = gate_filter(profile)
    return [str(channel), profile.role, *([gate] if gate else [])]


def gate_filter(profile: Profile) -> str:
    """Return the gate's filter in hex; empty for a sandbox without a gate."""
    if not profile.is_gated:
        return ""
    return gate_program(has_card=profile.card is not None).hex()


def holds_too_much(profile: Profile, folders: list[Path]) -> bool:
    """Return True if folders of the host hold more than a sandbox may write."""
    size, files = held(folders, most_bytes=profile.scratch_bytes, most_files=profile.scratch_files)
    return size > profile.scratch_bytes or files > profile.scratch_files


def files_bytes(profile: Profile, folders: list[Path]) -> int:
    """Return the size of the files in folders of the host, at most what a sandbox may write."""
    size, _ = held(folders, most_bytes=profile.scratch_bytes, most_files=profile.scratch_files)
    return int(min(size, profile.scratch_bytes))


def held(
    folders: list[Path], *, most_bytes: float = math.inf, most_files: float = math.inf
) -> tuple[float, float]:
    """Return the bytes and the number of files in folders of the host; stop beyond the limits.

    Both are infinite if a folder cannot be read, for example because its path is too long.
    """
    try:
        return _held(list(folders), most_bytes, most_files)
    except OSError:
        return math.inf, math.inf


def _held(waiting: list[Path], most_bytes: float, most_files: float) -> tuple[float, float]:
    size = files = 0
    while waiting and size <= most_bytes and files <= most_files:
        try:
            entries = list(os.scandir(waiting.pop()))
        except FileNotFoundError:
            continue
        files += len(entries)
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                size += entry.stat(follow_symlinks=False).st_blocks * 512
            if entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry.path))
    return size, files


def environment(
    profile: Profile,
    *,
    home: str,
    temporary: str,
    libraries: str,
    compiled: str,
    has_shared_memory: bool,
) -> dict[str, str]:
    """Return all environment variables of a sandboxed process."""
    tools = [toolchain(name) for name in profile.tools]
    folders = dict.fromkeys(path for one in tools for path in one.path)
    settings = {
        name: value.format(temporary=temporary)
        for one in tools
        for name, value in one.environment.items()
    }
    with_card: dict[str, str] = {}
    if profile.card is not None:
        with_card = nvidia.environment(
            profile.card, compiled=compiled, has_shared_memory=has_shared_memory
        )
    return {
        "HOME": home,
        "LANG": "C.UTF-8",
        "LD_LIBRARY_PATH": libraries,
        "OMP_NUM_THREADS": "1",
        "PATH": ":".join(("/python/bin", *folders)),
        # A fixed hash seed makes the order of sets the same on every machine.
        "PYTHONHASHSEED": str(profile.hash_seed),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": temporary,
        "USER": "candidate",
        **settings,
        **with_card,
    }
