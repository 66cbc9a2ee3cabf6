"""The resources of a machine that are ours, also in a container."""

import os
from pathlib import Path

import pytest

from trainer.host.capacity import available_bytes, usable_cores

_MB = 1 << 20


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


def machine(root: Path, group: str = "0::/", **files: str) -> Path:
    """Return a root with 16,000 MB free and these files below /sys/fs/cgroup."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(group + "\n")
    (root / "proc/meminfo").write_text(
        f"MemTotal: 1 kB\nMemAvailable:   {16_000 * 1024} kB\nSwapFree: 0 kB\n"
    )
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def test_without_limits_it_is_what_the_kernel_gives_us(tmp_path: Path) -> None:
    bare = machine(tmp_path, **{"cpu.max": "max 100000", "memory.max": "max"})
    assert (usable_cores(bare), available_bytes(bare)) == (8, 16_000 * _MB)
    assert usable_cores() == 8
    assert available_bytes() > 0


@pytest.mark.parametrize(
    ("quota", "cores"), [("350000 100000", 3), ("50000 100000", 1), ("9900000 100000", 8)]
)
def test_a_quota_allows_whole_cores_and_one_at_least(
    tmp_path: Path, quota: str, cores: int
) -> None:
    assert usable_cores(machine(tmp_path, **{"cpu.max": quota})) == cores


def test_limits_of_groups_above_count_too(tmp_path: Path) -> None:
    root = machine(
        tmp_path,
        "0::/user.slice/ours",
        **{
            "user.slice/ours/cpu.max": "max 100000",
            "user.slice/cpu.max": "200000 100000",
            "user.slice/memory.max": str(4000 * _MB),
            "user.slice/memory.current": str(3000 * _MB),
            "user.slice/memory.stat": f"anon 5\ninactive_file {500 * _MB}",
        },
    )
    assert (usable_cores(root), available_bytes(root)) == (2, 1500 * _MB)


def test_a_limit_that_is_used_up_leaves_nothing(tmp_path: Path) -> None:
    held = {"memory.max": str(100 * _MB), "memory.current": str(101 * _MB)}
    assert available_bytes(machine(tmp_path, **held)) == 0


def test_groups_of_version_one_are_read_as_well(tmp_path: Path) -> None:
    root = machine(
        tmp_path,
        # A container's path is the host's; the mounted folder is its own group.
        "4:cpu,cpuacct:/docker/abc\n3:memory:/docker/abc\n1:name=systemd:/docker/abc",
        **{
            "cpu/cpu.cfs_quota_us": "400000",
            "cpu/cpu.cfs_period_us": "100000",
            "memory/memory.limit_in_bytes": str(2000 * _MB),
            "memory/memory.usage_in_bytes": str(1000 * _MB),
            "memory/memory.stat": f"inactive_file 1\ntotal_inactive_file {100 * _MB}",
        },
    )
    assert (usable_cores(root), available_bytes(root)) == (4, 1100 * _MB)


def test_version_one_without_limits_has_none(tmp_path: Path) -> None:
    root = machine(
        tmp_path,
        "4:cpu:/\n3:memory:/",
        **{
            "cpu/cpu.cfs_quota_us": "-1",
            "cpu/cpu.cfs_period_us": "100000",
            "memory/memory.limit_in_bytes": str(2**63 - 4096),
        },
    )
    assert (usable_cores(root), available_bytes(root)) == (8, 16_000 * _MB)
