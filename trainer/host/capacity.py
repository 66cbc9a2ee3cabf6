"""The cores and the memory that this process may use, also inside a container with limits.

Source: sched_setaffinity(2), proc(5), the kernel's `cgroup-v2.rst` and, for older machines,
`cgroup-v1/memory.rst` and `scheduler/sched-bwc.rst`.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_ROOT: Final = Path("/")
_NO_LIMIT: Final = 1 << 60  # bytes; cgroup version 1 reports about this much for "no limit"


def usable_cores(root: Path = _ROOT) -> int:
    """Return the number of cores to use: the allowed cores, or a lower quota rounded down.

    `root` is a folder that contains `proc` and `sys`.
    """
    cores = len(os.sched_getaffinity(0))
    return max(1, min([cores, *map(int, _quotas(root))]))


def usable_core_numbers(root: Path = _ROOT) -> list[int]:
    """Return the numbers of the cores to use, highest first, since the lowest serve interrupts."""
    return sorted(os.sched_getaffinity(0), reverse=True)[: usable_cores(root)]


def available_bytes(root: Path = _ROOT) -> int:
    """Return how much memory can be allocated without displacing anything else."""
    return max(0, min([_free_bytes(root), *_left_of_limits(root)]))


def _free_bytes(root: Path) -> int:
    for line in (root / "proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _quotas(root: Path) -> Iterator[float]:
    """Yield the number of cores that each limited cgroup of this process may keep busy."""
    for group in _groups(root, ""):
        quota, _, period = _text(group / "cpu.max").partition(" ")
        if quota.isdigit():
            yield int(quota) / int(period)
    for group in _groups(root, "cpu"):
        quota = _text(group / "cpu.cfs_quota_us")
        if quota.isdigit():  # -1 means no quota
            yield int(quota) / int(_text(group / "cpu.cfs_period_us"))


def _left_of_limits(root: Path) -> Iterator[int]:
    """Yield the bytes that each limited cgroup of this process may still allocate.

    File pages that were not used lately count as free: the kernel reclaims them by itself.
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
    """Yield the folder of this process's cgroup and those of its parents.

    `controller` is a controller of cgroup version 1, or "" for version 2. Inside a container the
    path may be the host's and not exist here. The group is then the mounted folder itself.
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
    except OSError:  # no such group, or it has no limit
        return ""
