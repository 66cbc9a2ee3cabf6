"""What one sandbox may use, whichever tier encloses it, and when it came to be."""

from dataclasses import dataclass
from typing import Literal

from trainer.host.device import Device
from trainer.sandbox.packages import NO_PACKAGES, Packages
from trainer.sandbox.visible import VisiblePath

Role = Literal["train", "serve", "build", "solve", "judge", "evaluate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Limits of one sandbox. Sizes in bytes; `single_process` forbids new processes.

    `harness` is the folder of a kind of task whose `boot.py` is the first program inside, as
    `trainer.sandbox.visible` names it.
    `tools` are the toolchains that it shows (`trainer.sandbox.toolchains`), `packages` those
    distributions of Python that it shows beside everybody's (`trainer.sandbox.packages`), `data`
    the folders of the host that it shows below `/data`.
    `has_loopback` lets it speak TCP with itself, in a network of its own, which takes tier full.
    `scratch_files` bounds the files and folders that it may make in its scratch folders; `card` is
    the NVIDIA card that it may use; `is_fresh` asks for a process that shares not even the layout
    of its memory with others; `hash_seed` decides the order of its sets. `weighs_memory` refuses
    what would hold memory that is neither a process's nor written to a file.
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
        """Whether it has a folder of its own for a compiler (`trainer.sandbox.compiled`)."""
        return self.card is not None and self.role == "train"

    @property
    def may_be_forked(self) -> bool:
        """Whether it may be a fork of a process that is there (`trainer.sandbox.zygote`)."""
        is_shared = self.card is None and not self.is_fresh and not self.has_loopback
        return (self.single_process or self.role == "evaluate") and is_shared

    @property
    def has_only_ours(self) -> bool:
        """Whether all that it starts is a server of ours that it speaks with."""
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
        """True if its harness gives up more rights before a candidate's or an answer's turn."""
        return self.is_gated or self.role == "judge" or self.waits

    @property
    def waits(self) -> bool:
        """True if a process of ours starts the candidate's and stays next to it."""
        return self.role == "solve" and not self.single_process

    @property
    def is_gated(self) -> bool:
        """Whether `syscall_gate` lets it open no more files once it sees text to score."""
        return self.role == "serve"


@dataclass(frozen=True, slots=True)
class Start:
    """When a sandbox was asked for, when its process was there, and when torch was imported.

    In seconds of `time.monotonic`.
    """

    asked_s: float
    spawned_s: float
    warm_s: float
