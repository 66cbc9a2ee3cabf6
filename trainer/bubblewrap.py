"""Tier full: bubblewrap's namespaces and a seccomp filter.

Nothing of the host is writable inside and nothing but `trainer.visible` is there to be read.
"""

import asyncio
import contextlib
import os
import signal

from protocol.errors import SafetyError
from trainer.enclosure import (
    Enclosure,
    boot_arguments,
    environment,
    in_time,
    start_process,
)
from trainer.processes import status_number
from trainer.profile import Profile
from trainer.seccomp import seccomp_program
from trainer.visible import INTERPRETER, visible_tree

_SCRATCH = ("/dev/shm", "/tmp", "/job")  # noqa: S108 -- the sandbox's own


class Bubblewrap(Enclosure):
    """A sandbox in namespaces of its own."""

    def __init__(self, profile: Profile) -> None:
        super().__init__(profile)
        self._process: asyncio.subprocess.Process | None = None
        self._init: int | None = None  # pidfd of the sandbox's process 1; the last one to die
        self._root = ""

    async def start(self, channel: int) -> asyncio.subprocess.Process:
        """Start bwrap."""
        program, program_writer = os.pipe()
        os.write(program_writer, seccomp_program(single_process=self.profile.single_process))
        os.close(program_writer)
        try:
            self._process = await start_process(
                _command(self.profile, channel=channel, program=program),
                pass_fds=(channel, program),
                has_lifeline=False,
            )
        except FileNotFoundError as error:
            raise SafetyError(
                "bubblewrap (bwrap) is not installed, so nothing can be run safely",
                "install your distribution's package `bubblewrap`, then `arnode doctor`",
            ) from error
        finally:
            os.close(program)
        return self._process

    def attach(self, pid: int) -> None:
        """Remember process 1, whose end is the end of everything inside."""
        first = status_number(pid, "PPid")
        self._init = os.pidfd_open(first)
        self._root = f"/proc/{first}/root"

    def kill(self) -> None:
        """Kill process 1; bwrap outside then reaps it. Killed first it would leave a zombie."""
        if self._process is None or self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            if self._init is None:
                self._process.kill()
            else:
                signal.pidfd_send_signal(self._init, signal.SIGKILL)

    async def emptied(self) -> None:
        """Wait for the end of process 1: the kernel lets it go after everything else in there.

        Neither the end of bwrap outside tells (something may have killed only that) nor that of
        the output (a candidate may close its own and live on).
        """
        if self._process is not None:
            await self._process.wait()
        if self._init is None:
            return
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(self._init, ended.set)
        try:
            await in_time(ended)
        finally:
            loop.remove_reader(self._init)
            os.close(self._init)
            self._init = None

    def is_overfull(self) -> bool:
        """Whether a scratch folder holds too many files: tmpfs bounds only their bytes."""
        for folder in _SCRATCH:
            with contextlib.suppress(OSError):  # it has just ended
                space = os.statvfs(self._root + folder)
                if space.f_files - space.f_ffree > self.profile.scratch_files:
                    return True
        return False


def _command(profile: Profile, *, channel: int, program: int) -> list[str]:
    arguments = [
        "bwrap", "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent",
        "--new-session", "--clearenv", "--cap-drop", "ALL", "--uid", "1000", "--gid", "1000",
        "--hostname", "sandbox",
    ]  # fmt: skip
    for name, value in environment(home="/job", temporary="/tmp", libraries="/python/lib").items():  # noqa: S108
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
    for path in _SCRATCH:
        arguments += ["--size", str(profile.scratch_bytes), "--tmpfs", path]
    # `/` and `/dev` are writable and unbounded unless they are sealed last.
    arguments += ["--chdir", "/job", "--remount-ro", "/dev", "--remount-ro", "/"]
    arguments += ["--seccomp", str(program), "--", INTERPRETER, "-I", "-S", "-B"]
    return [*arguments, "/arnode/trainer/harness/boot.py", *boot_arguments(profile, channel)]
