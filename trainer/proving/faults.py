"""What can be wrong with a card, by name: what is said of it, how to mend it, what runs instead."""

from dataclasses import dataclass
from typing import Final

NOTHING_ELSE: Final = "`tiny` runs on the processor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault. `instead` says what runs; `is_kept`: it is the same at the next start, as long as
    the card, the driver and torch are."""

    name: str
    said: str
    mend: str
    instead: str = NOTHING_ELSE
    is_kept: bool = False

    @property
    def ends_it(self) -> bool:
        """Whether no run is made on the card."""
        return self.instead == NOTHING_ELSE

    def __str__(self) -> str:
        return f"{self.name}: {self.said}; {self.instead}; {self.mend}"
