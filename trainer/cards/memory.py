"""How a card's memory is shared out, as an agent is told of it."""

from dataclasses import dataclass
from typing import Final

_GIB: Final = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class CardMemory:
    """Sizes of one moment. `others_bytes` is all that is not ours, None where that is not told."""

    total_bytes: int
    others_bytes: int | None

    @property
    def limit(self) -> str:
        """What a run may have at most: `the card has 7.8 GiB, 1.1 GiB of it others'`."""
        others = "" if self.others_bytes is None else f", {_gib(self.others_bytes)} of it others'"
        return f"the card has {_gib(self.total_bytes)}{others}"


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / _GIB:.1f} GiB"
