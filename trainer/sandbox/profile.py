"""The limits of a sandbox, the same for every tier, and the times of its start."""

from dataclasses import dataclass
from typing import Literal

from trainer.host.device import Device
from trainer.sandbox.packages import NO_PACKAGES, Packages
from trainer.sandbox.visible import VisiblePath

Role = Literal["train", "serve", "build", "solve", "judge", "evaluate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The limits of one sandbox. Sizes are in bytes; `single_process` forbids new processes.

    `harness` is the folder, as `trainer.sandbox.visible` names it, whose `boot.py` is the first
    program inside. `tools` are the toolchains that it shows (`trainer.sandbox.toolchains`).
    `packages` are the Python distributions that it shows in addition to the standard ones
    (`trainer.sandbox.packages`). `data` are the host's folders that it shows below `/data`.

    `has_loopback` allows TCP within the sandbox, in a private network; this needs tier full.
    `scratch_files` limits the files and folders in its scratch folders. `card` is the NVIDIA card
    that it may use. `is_fresh` asks for a process that is not forked, so that it does not share
    even its memory layout. `hash_seed` decides the order of Python's sets. `weighs_memory` refuses
    memory that belongs neither to a process nor to a written file.
    """

    role: Role
    harness: str
    memory_bytes: int
    scratch_bytes: int
    scratch_files: int = 20_000
    output_bytes: int = 4 << 20
    threads: int = 64
    single_process: bool = True
    card: Device | None = None
    is_fresh: bool = False
    tools: tuple[str, ...] = ()
    packages: Packages = NO_PACKAGES
    data: tuple[VisiblePath, ...] = ()
    has_loopback: bool = False
    weighs_memory: bool = False
    hash_seed: int = 0

    @property
    def compiles(self) -> bool:
        """True if it has a folder of its own for a compiler (`trainer.sandbox.compiled`)."""
        return self.card is not None and self.role == "train"

    @property
    def may_be_forked(self) -> bool:
        """True if it may be a fork of an existing process (`trainer.sandbox.zygote`)."""
        is_shared = self.card is None and not self.is_fresh and not self.has_loopback
        return (self.single_process or self.role == "evaluate") and is_shared

    @property
    def has_only_ours(self) -> bool:
        """True if the only process that it starts is a server that belongs to arnode."""
        return self.has_loopback and not self.tools

    @property
    def may_have_pipes(self) -> bool:
        """True if it may make pipes or pairs of sockets, whose memory belongs to no process."""
        return not self.single_process or self.card is not None or self.may_have_pairs

    @property
    def may_have_pairs(self) -> bool:
        """True if it may make pairs of connected sockets, as event loops do."""
        return self.role in ("solve", "build", "evaluate") and not self.weighs_memory

    @property
    def restricts_later(self) -> bool:
        """True if its harness gives up more rights before it receives a candidate or an answer."""
        return self.is_gated or self.role == "judge" or self.waits

    @property
    def waits(self) -> bool:
        """True if a process of arnode runs alongside the candidate's process."""
        return self.role == "solve" and not self.single_process

    @property
    def is_gated(self) -> bool:
        """True if `syscall_gate` ends all opening of files before there is text to score."""
        return self.role == "serve"


@dataclass(frozen=True, slots=True)
class Start:
    """The times when a sandbox was requested, its process started, and its imports were done.

    In seconds of `time.monotonic`.
    """

    asked_s: float
    spawned_s: float
    warm_s: float
