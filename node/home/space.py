"""How much room is left on the disk of a home, and from when on that is too little."""

import shutil
from pathlib import Path
from typing import Final

LITTLE_BYTES: Final = 2 << 30
"""Below that people are warned: what tasks and blobs take may not fit any more."""

TOO_LITTLE_BYTES: Final = 200 << 20
"""Below that a node is about to end."""


def free_bytes(place: Path) -> int:
    """Return how much this user can still write where `place` is."""
    return shutil.disk_usage(place).free
