"""How much of a card's memory is there for runs: what is free, less what a desktop needs beside."""

from dataclasses import dataclass
from typing import Final

from trainer.cards.cards import Card
from trainer.cards.nvml import CardReader
from trainer.host.capacity import available_bytes

DESKTOPS_BYTES: Final = 512 << 20  # windows that open during a run


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A card's memory in bytes: all of it, what nobody has now, and what is kept for a desktop."""

    total_bytes: int
    free_bytes: int
    kept_bytes: int = 0

    @property
    def usable_bytes(self) -> int:
        """What runs may take."""
        return max(0, self.free_bytes - self.kept_bytes)


def room_of(card: Card) -> Room:
    """Ask the driver for the memory of a card, or of a slice of one. Raises CardLost."""
    reader = CardReader(card.uuid)
    reader.open()
    try:
        seen, draws = reader.read(), reader.draws()
    finally:
        reader.close()
    total, used = seen.total_bytes, seen.used_bytes
    if total is None or used is None:  # as GB10: it uses the machine's
        total, free = card.memory_bytes, available_bytes()
    else:
        free = total - used
    return Room(total_bytes=total, free_bytes=free, kept_bytes=DESKTOPS_BYTES if draws else 0)
