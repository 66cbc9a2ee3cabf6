"""How a card's memory is shared out: whether a run has room, and what an agent is told of it."""

from dataclasses import dataclass
from typing import Final

_GIB: Final = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class CardMemory:
    """Sizes of one moment. `others_bytes` is all that is not ours, None where that is not told."""

    total_bytes: int
    free_bytes: int
    others_bytes: int | None

    @property
    def limit(self) -> str:
        """What a run may have at most: `the card has 7.8 GiB, 1.1 GiB of it others'`."""
        others = "" if self.others_bytes is None else f", {_gib(self.others_bytes)} of it others'"
        return f"the card has {_gib(self.total_bytes)}{others}"

    def shortage(self, needed_bytes: int) -> str | None:
        """Say why a run that needs so much has no room now; None if it has."""
        if needed_bytes <= self.free_bytes:
            return None
        return (
            f"a run needs {_gib(needed_bytes)} of the card's memory, "
            f"{_gib(self.free_bytes)} are free: {self.limit}"
        )


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / _GIB:.1f} GiB"
