"""Backends for sandboxes that are forked from a zygote, with or without namespaces.

A zygote is a process that has loaded its libraries and forks one sandbox per request. Forked
sandboxes are for programs of one process without a card, which need no `/proc` and leave no other
processes behind. The exception is an imported evaluator, which may start other processes. It is the
first process of its namespace, so the other processes end with it.
"""

import asyncio
import contextlib
import os
import signal
from abc import abstractmethod
from dataclasses import asdict
from pathlib import Path

from trainer.sandbox import bubblewrap, confined
from trainer.sandbox.backend import (
    NICE,
    SandboxBackend,
    boot_arguments,
    files_bytes,
    gate_filter,
    holds_too_much,
    in_time,
    until_gone,
)
from trainer.sandbox.bubblewrap import CPUINFO, SCRATCH, is_scratch_overfull, scratch_files_bytes
from trainer.sandbox.confined import BOXES, make_box, release_uid, specification, throwaway_uid
from trainer.sandbox.inside.landlock import landlock_abi
from trainer.sandbox.inside.zygote import ForkRequest
from trainer.sandbox.landlock import DEVICE, READ, WRITE, Access, ruleset
from trainer.sandbox.profile import Profile
from trainer.sandbox.seccomp import seccomp_program
from trainer.sandbox.visible import visible_tree
from trainer.sandbox.zygote import ForkedProcess, Started, Zygote


class Forked(SandboxBackend):
    """A sandbox that a zygote forks. `_pidfd` refers to the first process inside, once known."""

    def __init__(self, profile: Profile) -> None:
        super().__init__(profile)
        self.zygote: Zygote | None = None
        self._process: ForkedProcess | None = None
        self._pidfd: int | None = None

    async def start(self, channel: int) -> ForkedProcess:
        """Request a fork from a zygote of this process; start a zygote first if none fits."""
        shown = self.profile.tools, self.profile.packages, self.profile.data
        key = type(self), self.profile.role, self.profile.harness, shown
        self.zygote = Zygote.of(key, self._start_zygote)
        self._process = await self.zygote.fork(self._request(self.zygote), channel)
        return self._process

    @abstractmethod
    def _start_zygote(self, control: int) -> Started:
        """Start the zygote, with the descriptor for requests."""

    @abstractmethod
    def _request(self, zygote: Zygote) -> ForkRequest:
        """Return the request for this sandbox."""

    def attach(self, pid: int) -> None:
        """Record the id of the first process in the sandbox."""
        assert self._process is not None  # noqa: S101 -- it has just spoken
        self._process.pid = pid
        self._pidfd = os.pidfd_open(pid)

    def note_failed_start(self) -> None:
        """Stop forking from a zygote after a failed start."""
        if self.zygote is not None:
            self.zygote.is_broken = True

    def kill(self) -> None:
        """Kill the process.

        A process that is not attached yet runs no untrusted code, and ends when its channel closes.
        """
        if self._pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    async def emptied(self) -> None:
        """Wait until the process has ended and the zygote has reaped it."""
        if self._process is not None:
            await in_time(self._process.wait())
        if self._pidfd is not None:
            pidfd, self._pidfd = self._pidfd, None
            await until_gone(pidfd)


class ForkedInNamespaces(Forked):
    """A forked sandbox of tier full: new namespaces, and Landlock if the kernel has it."""

    def _start_zygote(self, control: int) -> Started:
        boot = f"/arnode/{self.profile.harness}/boot.py"
        program = [boot, *boot_arguments(self.profile, control, forks=True)]
        return bubblewrap.start_zygote(self.profile, control, program)

    def _request(self, zygote: Zygote) -> ForkRequest:
        return namespace_request(self.profile, gate=gate_filter(self.profile))

    def is_overfull(self) -> bool:
        """Return True if a scratch folder has too many files."""
        assert self._process is not None  # noqa: S101 -- it is watched once it runs
        return is_scratch_overfull(f"/proc/{self._process.pid}/root", self.profile)

    def files_bytes(self) -> int:
        """Return the size in bytes of the files in the scratch folders, which are in memory."""
        assert self._process is not None  # noqa: S101 -- it is watched once it runs
        return scratch_files_bytes(f"/proc/{self._process.pid}/root")


class ForkedConfined(Forked):
    """A forked sandbox of tier container or partial, in a temporary folder.

    Its process runs as a throw-away user or as the current user.
    """

    def __init__(self, profile: Profile, *, as_throwaway: bool) -> None:
        super().__init__(profile)
        self._as_throwaway = as_throwaway
        self._uid: int | None = None
        self._folder: Path | None = None

    def _start_zygote(self, control: int) -> Started:
        boot = f"arnode/{self.profile.harness}/boot.py"
        program = [boot, *boot_arguments(self.profile, control, forks=True)]
        return confined.start_zygote(
            self.profile, control, program, as_throwaway=self._as_throwaway
        )

    def _request(self, zygote: Zygote) -> ForkRequest:
        assert zygote.folder is not None  # noqa: S101 -- `confined.start_zygote` has made one
        self._uid = throwaway_uid() if self._as_throwaway else None
        self._folder = make_box(self._uid, within=zygote.folder / BOXES)
        return confined_request(
            self.profile, self._folder, zygote.folder, uid=self._uid, gate=gate_filter(self.profile)
        )

    async def emptied(self) -> None:
        """Wait for the end of the process, then remove the sandbox's folder."""
        await super().emptied()
        if self._folder is not None:
            folder, self._folder = self._folder, None
            # Use `rm`, which does not recurse on the stack: a candidate can nest without limit.
            remover = await asyncio.create_subprocess_exec("rm", "-rf", "--", folder)
            await remover.wait()
        if self._uid is not None:
            release_uid(self._uid)
            self._uid = None

    def is_overfull(self) -> bool:
        """Return True if the scratch folders exceed their limit. Nothing else enforces it."""
        if self._folder is None:
            return False
        return holds_too_much(self.profile, [self._folder / name for name in confined.SCRATCH])

    def files_bytes(self) -> int:
        """Return the size in bytes of the files in the scratch folders, which are on a disk."""
        if self._folder is None:
            return 0
        return files_bytes(self.profile, [self._folder / name for name in confined.SCRATCH])


def namespace_request(profile: Profile, *, gate: str = "") -> ForkRequest:
    """Return the request for a sandbox in namespaces; Landlock rules are a second barrier."""
    rules: dict[Path, Access] = {Path("/"): READ, Path(os.devnull): DEVICE}
    # Named pipes are safe: they connect only processes in the sandbox's own namespace.
    scratch = WRITE if profile.single_process else WRITE | Access.MAKE_FIFO
    rules |= dict.fromkeys(map(Path, SCRATCH), scratch)
    return ForkRequest(
        folder="/job",
        program=seccomp_program(
            single_process=profile.single_process,
            has_pairs=profile.may_have_pairs,
            weighs_memory=profile.weighs_memory,
            restricts_later=bool(gate),
        ).hex(),
        gate=gate,
        nice=NICE,
        scratch=dict.fromkeys(SCRATCH, profile.scratch_bytes),
        shown={CPUINFO: "/proc/cpuinfo"},
        ruleset=asdict(ruleset(rules)) if landlock_abi() else None,
    )


def confined_request(
    profile: Profile, folder: Path, zygotes: Path, *, uid: int | None, gate: str = ""
) -> ForkRequest:
    """Return the request for a sandbox without namespaces, whose files are in `folder`.

    `zygotes` is the folder of the zygote, with the code, packages and data that the sandbox reads.
    """
    spec = specification(folder, visible_tree(), uid=uid, profile=profile, channel=-1, program=[])
    rules = {Path(path): Access(allowed) for path, allowed in spec.rules.items()}
    rules |= {zygotes / name: READ for name in ("arnode", "packages", "data")}
    return ForkRequest(
        folder=str(folder / "job"),
        program=seccomp_program(
            single_process=True,
            is_confined=True,
            has_pairs=profile.may_have_pairs,
            weighs_memory=profile.weighs_memory,
            restricts_later=bool(gate),
        ).hex(),
        gate=gate,
        nice=NICE,
        environment=spec.environment,
        uid=uid,
        processes=spec.processes,
        file_bytes=spec.file_bytes,
        ruleset=asdict(ruleset(rules)),
    )
