"""Tier full: bubblewrap's namespaces and a seccomp filter.

No file of the host is writable inside. `trainer.sandbox.visible` lists the readable files.
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
from trainer.host.system_packages import install_hint
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
# Files of /proc with machine-wide counters: a process can change them, and they outlive it.
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
    """A sandbox in new namespaces, which bubblewrap creates."""

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
        """Record process 1 of the sandbox: everything inside ends with it."""
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

        Stop the outer bwrap first. A new process 1 is not yet set to die with bwrap, so one that
        starts after the search would survive.
        """
        with contextlib.suppress(ProcessLookupError, ChildProcessError):  # it has ended
            os.kill(process.pid, signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            for first in family_of(process.pid)[1:2]:
                self._init = os.pidfd_open(first)
        process.kill()

    async def emptied(self) -> None:
        """Wait for the end of process 1, which the kernel ends after everything else inside.

        The end of the outer bwrap is not enough, because something may have killed only bwrap. The
        end of the output is not enough either, because a candidate may close it and continue.
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
        """Return True if a scratch folder has too many files."""
        if is_scratch_overfull(self._root, self.profile):
            return True
        return self.compiled is not None and holds_too_much(self.profile, [self.compiled])

    def files_bytes(self) -> int:
        """Return the size of the files in its scratch folders, which are in memory."""
        return scratch_files_bytes(self._root)


def start_zygote(profile: Profile, control: int, program: list[str]) -> Started:
    """Start a zygote's program in namespaces that allow it to create further namespaces.

    It has no capabilities; its children create their own user namespaces. Its `/proc` contains the
    names of the host's folders, which the children do not see.
    """
    with _command(_arguments(profile, compiled=None, forks=True), program) as (command, arguments):
        return Started(process=spawn(command, has_lifeline=False, pass_fds=(control, arguments)))


def is_scratch_overfull(root: str, profile: Profile) -> bool:
    """Return True if a scratch folder has too many files: tmpfs limits only their bytes.

    `root` is the path under which the host sees the sandbox's root folder.
    """
    for folder in SCRATCH:
        with contextlib.suppress(OSError):  # it has just ended
            space = os.statvfs(root + folder)
            if space.f_files - space.f_ffree > profile.scratch_files:
                return True
    return False


def scratch_files_bytes(root: str) -> int:
    """Return the size of the files in a sandbox's scratch folders below `root`."""
    held_bytes = 0
    for folder in SCRATCH:
        with contextlib.suppress(OSError):  # it has just ended
            space = os.statvfs(root + folder)
            held_bytes += (space.f_blocks - space.f_bfree) * space.f_frsize
    return held_bytes


@contextlib.contextmanager
def _command(words: list[str], program: list[str]) -> Iterator[tuple[list[str], int]]:
    """Yield the command of a sandboxed Python program, and a descriptor with bwrap's arguments.

    The arguments name folders of the host. On the command line a candidate could read them. Raises
    SafetyError if bubblewrap is not installed.
    """
    arguments = in_memory("\0".join(words).encode() + b"\0")
    try:
        bwrap = shutil.which("bwrap")  # look it up here: the new process gets another PATH
        if bwrap is None:
            raise SafetyError(
                "bubblewrap (bwrap) is not installed, so nothing can be run safely",
                f"{install_hint('bubblewrap')}, then run `arnode doctor`",
            )
        command = [bwrap, "--args", str(arguments), "--", INTERPRETER, *FLAGS]
        yield joining_group([*command, *program]), arguments
    finally:
        os.close(arguments)


def _is_first(profile: Profile) -> bool:
    """Return True if our harness is process 1 of the sandbox; otherwise bubblewrap's helper is."""
    return profile.card is not None and profile.waits


def _machines_files() -> list[str]:
    """Return arguments that make `/proc` read-only, except the folders of processes.

    These stay writable, because NVIDIA's driver 570 and newer names its threads there, and CUDA
    fails to start (error 304) otherwise.
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
        # If the node runs as root, the kernel lets a candidate write to /proc/sys (core_pattern!).
        # Any candidate may write to the memory of process 1 (/proc/1/mem). So /proc is read-only,
        # except, with a card, the files of the candidate's own processes.
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
    # Hide terminals: all forks of a zygote share them, and a terminal shows when it was last used.
    arguments += ["--size", "4096", "--tmpfs", "/dev/pts", "--remount-ro", "/dev/pts"]
    if profile.card is not None:
        for file in nvidia.device_files(profile.card):
            arguments += ["--dev-bind", str(file), str(file)]
        for folder in nvidia.SYSTEM_FOLDERS:
            arguments += ["--ro-bind", folder, folder]
        if not profile.tools:  # toolchains may show files in /bin
            arguments += ["--symlink", "usr/bin", "/bin"]
    for path in SCRATCH:
        arguments += ["--size", str(profile.scratch_bytes), "--tmpfs", path]
    if compiled is not None:
        arguments += ["--bind", str(compiled), _COMPILED]
    # Remount `/` and `/dev` last, because they are writable and unlimited otherwise.
    return [*arguments, "--chdir", "/job", "--remount-ro", "/dev", "--remount-ro", "/"]
