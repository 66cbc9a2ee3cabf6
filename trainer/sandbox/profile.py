"""What one sandbox may use, whichever tier encloses it."""

from dataclasses import dataclass
from typing import Literal

from trainer.device import Device

Role = Literal["train", "serve"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Limits of one sandbox. Sizes in bytes; `single_process` forbids new processes.

    `scratch_files` bounds the files and folders that it may make in its scratch folders; `card` is
    the NVIDIA card that it may use.
    """

    role: Role
    memory_bytes: int
    scratch_bytes: int
    scratch_files: int = 20_000
    output_bytes: int = 4 << 20
    threads: int = 64
    single_process: bool = True
    card: Device | None = None

    @property
    def compiles(self) -> bool:
        """Whether it has a folder of its own for what a compiler makes (`trainer.compiled`)."""
        return self.card is not None and self.role == "train"

    @property
    def is_gated(self) -> bool:
        """Whether its access to files ends before it sees text that is scored (`trainer.gate`)."""
        return self.role == "serve"
