"""How a mend of a crashed proposal is named, so that its number is known from its key alone."""

from typing import Final

from agent.proposal import Crash
from protocol.codecs import fit_line

MAX_REPAIRS: Final = 2
_PREFIX: Final = "repair:"
_MAX_KEY: Final = 120


def repair_key(crash: Crash) -> str:
    """Return the key of a mend: its number and the key of the idea, which stays the same."""
    return fit_line(f"{_PREFIX}{crash.attempt}:{repairs_of(crash.key)[1]}", _MAX_KEY)


def repairs_of(key: str) -> tuple[int, str]:
    """Return how often an idea was mended, and its key without that."""
    count, _, rest = key.removeprefix(_PREFIX).partition(":")
    if key.startswith(_PREFIX) and count.isdecimal() and rest:
        return int(count), rest
    return 0, key
