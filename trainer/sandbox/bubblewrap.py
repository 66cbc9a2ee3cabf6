"""Tier full: bubblewrap's namespaces and a seccomp filter.

Nothing of the host is writable inside. `trainer.sandbox.visible` decides what can be read.
"""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

from protocol.errors import SafetyError
from trainer.cards import nvidia
from trainer.host.processes import family_of, status_number
from trainer.sandbox.backend import (
    SandboxBackend,
    boot_arguments,
    environment,
    holds_too_much,
    until_gone,
)
from trainer.sandbox.compiled import make_folder
from trainer.sandbox.packages import shown_packages
from trainer.sandbox.process_limit import joining_group
from trainer.sandbox.profile import Profile
from trainer.sandbox.sealed import in_memory
from trainer.sandbox.seccomp import seccomp_program
from trainer.sandbox.spawned import SpawnedProcess, spawn
from trainer.sandbox.toolchains import shown_by
from trainer.sandbox.visible import FLAGS, INTERPRETER, visible_tree
from trainer.sandbox.zygote import Started

_COMPILED = "/compiled"
# Files of /proc with counters of the whole machine: a process can change them, and they outlive it.
_COUNTING_FILES = (
    "buddyinfo", "diskstats", "interrupts", "key-users", "keys", "kpagecgroup", "kpagecount",
    "kpageflags", "loadavg", "locks", "pagetypeinfo", "sched_debug", "schedstat", "slabinfo",
    "softirqs", "stat", "swaps", "timer_list", "vmallocinfo", "vmstat", "zoneinfo",
)  # fmt: skip
_COUNTING_FOLDERS = ("pressure", "sys/fs")
_FIRST = "/proc/1"
CPUINFO = "/cpuinfo"  # where a zygote's children find the file for their `/proc`
SCRATCH = ("/dev/shm", "/tmp", "/job")  # noqa: S108 -- the sandbox's own


class Bubblewrap(SandboxBackend):
    """A sandbox in namespaces of its own."""

    def __init__(self, profile: Profile) -> None:
        super().__init__(profile)
        self._process: SpawnedProcess | None = None
        self._init: int | None = None  # pidfd of the sandbox's process 1; the last one to die
        self._root = ""

    async def start(self, channel: int) -> SpawnedProcess:
        filters = seccomp_program(
            single_process=self.profile.single_process,
            has_card=self.profile.card is not None,
            has_loopback=self.profile.has_loopback,
            has_pairs=self.profile.may_have_pairs,
            weighs_memory=self.profile.weighs_memory,
            restricts_later=self.profile.restricts_later,
        )
        if self.profile.compiles:
            self.compiled = make_folder()
        program = in_memory(filters)
        words = _arguments(self.profile, compiled=self.compiled)
        boot = f"/arnode/{self.profile.harness}/boot.py"
        with _command(
            [*words, "--seccomp", str(program)], [boot, *boot_arguments(self.profile, channel)]
        ) as (command, arguments):
            try:
                self._process = await SpawnedProcess.start(
                    self.with_low_priority(command),
                    pass_fds=(channel, program, arguments),
                    has_lifeline=False,
                )
            finally:
                os.close(program)
        return self._process

    def attach(self, pid: int) -> None:
        """Remember process 1: everything inside ends with it."""
        first = pid if _is_first(self.profile) else status_number(pid, "PPid")
        self._init = os.pidfd_open(first)
        self._root = f"/proc/{first}/root"

    def kill(self) -> None:
        """Kill process 1; the outer bwrap then reaps it.

        Killing bwrap first would leave a zombie.
        """
        if self._init is None and self._process is not None:
            self._find_first(self._process)
        with contextlib.suppress(ProcessLookupError):
            if self._init is not None:
                signal.pidfd_send_signal(self._init, signal.SIGKILL)

    def _find_first(self, process: SpawnedProcess) -> None:
        """Find the sandbox's init before its first message, then kill the outer bwrap.

        The outer bwrap is stopped first. Process 1 is not tied to bwrap's life from its first
        moment on, so one that began after the search would stay.
        """
        with contextlib.suppress(ProcessLookupError, ChildProcessError):  # it has ended
            os.kill(process.pid, signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            for first in family_of(process.pid)[1:2]:
                self._init = os.pidfd_open(first)
        process.kill()

    async def emptied(self) -> None:
        """Wait for the end of process 1, which the kernel ends after everything else inside.

        The end of the outer bwrap proves nothing: something may have killed only that. The end of
        the output proves nothing either: a candidate may close its own and live on.
        """
        if self._process is not None:
            await self._process.wait()
        if self._init is not None:
            init, self._init = self._init, None
            await until_gone(init)
        if self.compiled is not None:
            await asyncio.to_thread(shutil.rmtree, self.compiled, ignore_errors=True)
            self.compiled = None

    def is_overfull(self) -> bool:
        """Return True if a scratch folder holds too many files."""
        if is_scratch_overfull(self._root, self.profile):
            return True
        return self.compiled is not None and holds_too_much(self.profile, [self.compiled])

    def files_bytes(self) -> int:
        """Return the size of the files in its scratch folders, which are in memory."""
        return scratch_files_bytes(self._root)


def start_zygote(profile: Profile, control: int, program: list[str]) -> Started:
    """Start a program that forks, in namespaces in which others can be made.

    It has no capability: its children become users of their own. Its `/proc` contains the names of
    the host's folders; the children do not see it.
    """
    with _command(_arguments(profile, compiled=None, forks=True), program) as (command, arguments):
        return Started(process=spawn(command, has_lifeline=False, pass_fds=(control, arguments)))


def is_scratch_overfull(root: str, profile: Profile) -> bool:
    """Return True if a scratch folder holds too many files: tmpfs limits only their bytes.

    `root` is the path from here to the sandbox's files.
    """
    for folder in SCRATCH:
        with contextlib.suppress(OSError):  # it has just ended
            space = os.statvfs(root + folder)
            if space.f_files - space.f_ffree > profile.scratch_files:
                return True
    return False


def scratch_files_bytes(root: str) -> int:
    """Return the size of the files in a sandbox's scratch folders; `root` as above."""
    held_bytes = 0
    for folder in SCRATCH:
        with contextlib.suppress(OSError):  # it has just ended
            space = os.statvfs(root + folder)
            held_bytes += (space.f_blocks - space.f_bfree) * space.f_frsize
    return held_bytes


@contextlib.contextmanager
def _command(words: list[str], program: list[str]) -> Iterator[tuple[list[str], int]]:
    """Yield the command of a sandboxed Python program, and the descriptor of bwrap's arguments.

    The arguments are not on the command line, where a candidate could read the names of the host's
    folders. Raises SafetyError if bubblewrap is not installed.
    """
    arguments = in_memory("\0".join(words).encode() + b"\0")
    try:
        bwrap = shutil.which("bwrap")  # found by our PATH: the new process gets another
        if bwrap is None:
            raise SafetyError(
                "bubblewrap (bwrap) is not installed, so nothing can be run safely",
                "install your distribution's package `bubblewrap`, then `arnode doctor`",
            )
        command = [bwrap, "--args", str(arguments), "--", INTERPRETER, *FLAGS]
        yield joining_group([*command, *program]), arguments
    finally:
        os.close(arguments)


def _is_first(profile: Profile) -> bool:
    """Return True if our harness is process 1 of the sandbox; otherwise bubblewrap's helper is."""
    return profile.card is not None and profile.waits


def _machines_files() -> list[str]:
    """Return arguments that make `/proc` read-only, except for the sandbox's own processes.

    Their own files stay writable: since 570 NVIDIA's driver names its threads there, and CUDA does
    not start (error 304) if it cannot.
    """
    entries = sorted(Path("/proc").iterdir())
    shared = [str(one) for one in entries if not one.name.isdigit() and not one.is_symlink()]
    return [word for path in shared for word in ("--ro-bind", path, path)]


def _arguments(profile: Profile, *, compiled: Path | None, forks: bool = False) -> list[str]:
    arguments = [
        *([] if forks else ["--disable-userns"]),
        *(["--as-pid-1"] if _is_first(profile) else []),
        "--unshare-all", "--unshare-user", "--die-with-parent",
        "--new-session", "--clearenv", "--cap-drop", "ALL", "--uid", "1000", "--gid", "1000",
        "--hostname", "sandbox",
    ]  # fmt: skip
    for name, value in environment(
        profile,
        home="/job",
        temporary="/tmp",  # noqa: S108
        libraries="/python/lib",
        compiled=_COMPILED if profile.compiles else SCRATCH[1],
        has_shared_memory=True,
    ).items():
        arguments += ["--setenv", name, value]
    tree = visible_tree(with_cuda=profile.card is not None)
    for binding in tree.bindings:
        arguments += ["--ro-bind", str(binding.host), binding.inside]
    for binding in (*shown_by(profile.tools), *shown_packages(profile.packages), *profile.data):
        arguments += ["--ro-bind", str(binding.host), binding.inside]
    for path in tree.covered:
        arguments += ["--size", "4096", "--tmpfs", path, "--remount-ro", path]
    if forks:
        arguments += ["--ro-bind", "/proc/cpuinfo", CPUINFO, "--proc", "/proc"]
    elif profile.card is None and (profile.single_process or profile.has_only_ours):
        # It needs no /proc, whose mount table names the host's folders.
        arguments += ["--ro-bind", "/proc/cpuinfo", "/proc/cpuinfo"]
    else:
        # If the node runs as root, a candidate is root to the kernel, the owner of /proc/sys
        # (core_pattern!). Any candidate owns the sandbox's process 1 (/proc/1/mem). So nothing is
        # writable here; with a card, only the files of its own processes are.
        arguments += ["--proc", "/proc", *(_machines_files() if profile.card else ())]
        for name in _COUNTING_FILES:
            if Path("/proc", name).exists():
                arguments += ["--ro-bind", "/dev/null", f"/proc/{name}"]
        for name in _COUNTING_FOLDERS:
            if Path("/proc", name).is_dir():
                arguments += ["--size", "4096", "--tmpfs", f"/proc/{name}"]
                arguments += ["--remount-ro", f"/proc/{name}"]
        if profile.card is None:
            arguments += ["--remount-ro", "/proc"]
        else:
            arguments += ["--size", "4096", "--tmpfs", _FIRST, "--remount-ro", _FIRST]
    # Cover /dev/zero: a shared mapping of it is memory that no process's size shows.
    arguments += ["--dev", "/dev", "--dev-bind", "/dev/null", "/dev/zero"]
    # Terminals would be shared by all forks of a zygote, and keep the time of their last use.
    arguments += ["--size", "4096", "--tmpfs", "/dev/pts", "--remount-ro", "/dev/pts"]
    if profile.card is not None:
        for file in nvidia.device_files(profile.card):
            arguments += ["--dev-bind", str(file), str(file)]
        for folder in nvidia.SYSTEM_FOLDERS:
            arguments += ["--ro-bind", folder, folder]
        if not profile.tools:  # tools may have put something there
            arguments += ["--symlink", "usr/bin", "/bin"]
    for path in SCRATCH:
        arguments += ["--size", str(profile.scratch_bytes), "--tmpfs", path]
    if compiled is not None:
        arguments += ["--bind", str(compiled), _COMPILED]
    # `/` and `/dev` are writable and unlimited unless they are remounted last.
    return [*arguments, "--chdir", "/job", "--remount-ro", "/dev", "--remount-ro", "/"]
