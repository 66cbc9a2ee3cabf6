"""What a command in a workshop may use, and looking whether it uses more.

The kernel bounds single files and, where there are namespaces, the folders in memory; the rest is
looked at several times a second. Knows nothing of what happens to a command that goes too far.
"""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trainer.host.processes import family_of, held_kib, proportional_kib, status_number
from trainer.sandbox.enclosure import held

Excess = Literal["memory", "threads", "files"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one command may use. Sizes in bytes; `scratch_*` of each place it may write to."""

    limit_s: float
    memory_bytes: int = 4 << 30
    scratch_bytes: int = 256 << 20
    scratch_files: int = 20_000
    output_bytes: int = 64 << 20
    threads: int = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where it may write: `folder` as a whole, `kept` folders, and folders in memory, if it has
    some, by its own names."""

    folder: Path
    kept: tuple[Path, ...]
    in_memory: tuple[Path, ...]


def excess(root: int, places: Places, limits: Limits) -> Excess | None:
    """Return what the processes from `root` on, the first one outside, have too much of."""
    pids = family_of(root)
    if sum(status_number(pid, "Threads") for pid in pids) > limits.threads:
        return "threads"
    most_kib = limits.memory_bytes // 1024
    # Shared pages counted in full first: to count them by their share takes longer.
    if sum(map(held_kib, pids)) > most_kib and sum(map(proportional_kib, pids)) > most_kib:
        return "memory"
    is_full = _has_grown(places.folder, (0, 0), limits)
    return "files" if is_full or _is_memory_full(pids, places, limits) else None


class Growth:
    """Whether folders of the user's, which are not ours to empty, have grown too much."""

    def __init__(self, places: Places, limits: Limits) -> None:
        self._limits = limits
        self._before = [(folder, held([folder])) for folder in places.kept]

    def excess(self) -> Excess | None:
        """Return what is too much."""
        has_grown = (_has_grown(folder, was, self._limits) for folder, was in self._before)
        return "files" if any(has_grown) else None


def _has_grown(folder: Path, before: tuple[float, float], limits: Limits) -> bool:
    most_bytes, most_files = before[0] + limits.scratch_bytes, before[1] + limits.scratch_files
    size, files = held([folder], most_bytes=most_bytes, most_files=most_files)
    return size > most_bytes or files > most_files


def _is_memory_full(pids: list[int], places: Places, limits: Limits) -> bool:
    """Whether a folder in memory holds too many files: mounts bound only their bytes."""
    if len(pids) < 3:  # the first one, bwrap outside, process 1 inside
        return False
    for folder in places.in_memory:
        with contextlib.suppress(OSError):  # it is just being made, or has ended
            inside = Path(f"/proc/{pids[2]}/root{folder}")
            space = os.statvfs(inside)
            # Until its mounts are made it sees ours.
            is_its_own = not folder.exists() or inside.stat().st_dev != folder.stat().st_dev
            if is_its_own and space.f_files - space.f_ffree > limits.scratch_files:
                return True
    return False
