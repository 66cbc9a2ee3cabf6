"""What of this machine is ours: cores and memory, also where a container is given a part of them.

Source: sched_setaffinity(2), proc(5), the kernel's `cgroup-v2.rst` and, for older machines,
`cgroup-v1/memory.rst` and `scheduler/sched-bwc.rst`.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_ROOT: Final = Path("/")
_NO_LIMIT: Final = 1 << 60  # bytes: what version 1 says where there is none is about that


def usable_cores(root: Path = _ROOT) -> int:
    """Return how many cores may be busy at once: those that are ours, or a quota's whole part.

    `root` has `proc` and `sys`.
    """
    cores = len(os.sched_getaffinity(0))
    return max(1, min([cores, *map(int, _quotas(root))]))


def usable_core_numbers(root: Path = _ROOT) -> list[int]:
    """Return which cores may be busy at once, the last first: the first ones serve interrupts."""
    return sorted(os.sched_getaffinity(0), reverse=True)[: usable_cores(root)]


def available_bytes(root: Path = _ROOT) -> int:
    """Return how much memory may be taken without anything else having to leave it."""
    return max(0, min([_free_bytes(root), *_left_of_limits(root)]))


def _free_bytes(root: Path) -> int:
    for line in (root / "proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _quotas(root: Path) -> Iterator[float]:
    """Yield how many cores each group that we are in may keep busy, where that is bounded."""
    for group in _groups(root, ""):
        quota, _, period = _text(group / "cpu.max").partition(" ")
        if quota.isdigit():
            yield int(quota) / int(period)
    for group in _groups(root, "cpu"):
        quota = _text(group / "cpu.cfs_quota_us")
        if quota.isdigit():  # -1: there is none
            yield int(quota) / int(_text(group / "cpu.cfs_period_us"))


def _left_of_limits(root: Path) -> Iterator[int]:
    """Yield how much each group that we are in may still take, where that is bounded.

    What it holds of files and has not used lately the kernel takes back by itself.
    """
    for controller, most, used in (
        ("", "memory.max", "memory.current"),
        ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        for group in _groups(root, controller):
            limit = _text(group / most)
            if not limit.isdigit() or int(limit) >= _NO_LIMIT:
                continue
            counts = dict(line.split() for line in _text(group / "memory.stat").splitlines())
            idle = int(counts.get("total_inactive_file", counts.get("inactive_file", 0)))
            yield int(limit) - int(_text(group / used) or 0) + idle


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of the group that we are in and of those above it.

    `controller`: of version 1; empty for version 2. In a container the path may be the host's, and
    not there: then what is mounted is the group.
    """
    mounted = root / "sys/fs/cgroup" / controller
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(","):
            own = mounted / path.lstrip("/")
            yield from (mounted / one for one in (own, *own.parents) if one.is_relative_to(mounted))


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:  # no such group, or nothing is bounded there
        return ""
