"""The limits of one sandbox, the same for every tier, and the times of its start."""

from dataclasses import dataclass
from typing import Literal

from trainer.host.device import Device
from trainer.sandbox.packages import NO_PACKAGES, Packages
from trainer.sandbox.visible import VisiblePath

Role = Literal["train", "serve", "build", "solve", "judge", "evaluate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The limits of one sandbox. Sizes are in bytes; `single_process` forbids new processes.

    `harness` is the folder of a kind of task whose `boot.py` is the first program inside, as
    `trainer.sandbox.visible` names it. `tools` are the toolchains that it shows
    (`trainer.sandbox.toolchains`). `packages` are the Python distributions that it shows in
    addition to those that every sandbox shows (`trainer.sandbox.packages`). `data` are the host's
    folders that it shows below `/data`.

    `has_loopback` lets it speak TCP with itself, in a network of its own; this needs tier full.
    `scratch_files` limits the files and folders in its scratch folders. `card` is the NVIDIA card
    that it may use. `is_fresh` asks for a process that shares nothing with others, not even its
    memory layout. `hash_seed` decides the order of its sets. `weighs_memory` refuses memory that
    belongs neither to a process nor to a written file.
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
        """True if everything that it starts is a server of arnode's that it talks to."""
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
        """True if its harness gives up more rights before a candidate or an answer comes in."""
        return self.is_gated or self.role == "judge" or self.waits

    @property
    def waits(self) -> bool:
        """True if a process of arnode's starts the candidate's and stays next to it."""
        return self.role == "solve" and not self.single_process

    @property
    def is_gated(self) -> bool:
        """True if `syscall_gate` lets it open no more files once it sees text to score."""
        return self.role == "serve"


@dataclass(frozen=True, slots=True)
class Start:
    """The times when a sandbox was requested, its process existed, and torch was imported.

    In seconds of `time.monotonic`.
    """

    asked_s: float
    spawned_s: float
    warm_s: float
