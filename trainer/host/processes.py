"""Readings of /proc about a process and its descendants, for the sandbox's watchdog."""

import contextlib
import os
import time
from collections.abc import Iterable
from pathlib import Path

# The capacity of a pipe and a socket. A sandbox may not change it (pipe(7), socket(7)).
_PIPE_KIB = 64
_SOCKET_KIB = 208  # /proc/sys/net/core/wmem_default: what one end may have sent
_CPU_CLOCK = 2  # CPUCLOCK_SCHED of clock_getcpuclockid(3)


def family_of(pid: int) -> list[int]:
    """Return a process and its descendants."""
    family = [pid]
    for member in family:
        with contextlib.suppress(OSError):
            for children in Path(f"/proc/{member}/task").glob("*/children"):
                family += map(int, children.read_text().split())
    return family


def status_number(pid: int, field: str) -> int:
    """Return a number of /proc/PID/status (kibibytes for sizes); 0 once the process is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1])
    return 0


def held_kib(pid: int) -> int:
    """Return the memory of a process in KiB, page tables included.

    Page tables grow when a process maps much memory and touches little of it.
    """
    return sum(status_number(pid, field) for field in ("VmRSS", "VmSwap", "VmPTE", "HugetlbPages"))


def proportional_kib(pid: int) -> int:
    """Return the memory of a process in KiB, with shared pages divided among their users."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return held_kib(pid) - status_number(pid, "VmRSS") + int(line.split()[1])
    return held_kib(pid)  # a process may hide its maps; its shared pages then count in full


def pipes_kib(pids: Iterable[int]) -> int:
    """Return the total capacity of the pipes and sockets that these processes have open, in KiB.

    The memory size of a process does not include this capacity. One socket is left out: the channel
    between the sandbox and the node.
    """
    opened: set[str] = set()
    for pid in pids:
        with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:
            # An error means that the process has just ended.
            opened.update(os.readlink(one.path) for one in entries)  # noqa: PTH115 -- ten times a second
    pipes = sum(one.startswith("pipe:") for one in opened)
    sockets = sum(one.startswith("socket:") for one in opened)
    return pipes * _PIPE_KIB + max(0, sockets - 1) * _SOCKET_KIB


def written_bytes(pids: Iterable[int]) -> int:
    """Return the bytes that these processes have written so far to files, pipes and terminals.

    The figure never falls, even if files are deleted later. It does not include bytes sent to
    sockets or written through a memory mapping. A child that was waited for counts with its parent.
    The result is 0 if the kernel does not report it, for example without permission.
    """
    written = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/io").read_text().splitlines():
                if line.startswith("wchar:"):
                    written += int(line.split()[1])
    return written


def used_cpu_s(pids: Iterable[int]) -> float:
    """Return the CPU seconds that these processes have used so far."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
            ticks += int(fields[11]) + int(fields[12])  # utime, stime
    return ticks / os.sysconf("SC_CLK_TCK")


def exact_cpu_s(pid: int) -> float:
    """Return the CPU seconds of one process so far, to the nanosecond.

    Raises OSError once it is gone.
    """
    return time.clock_gettime((~pid << 3) | _CPU_CLOCK)


def uids_in_use() -> set[int]:
    """Return the owners of all visible processes."""
    owners: set[int] = set()
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            owners.add(path.stat().st_uid)
    return owners


def own_threads() -> int:
    """Return the number of threads of our user, which RLIMIT_NPROC limits (setrlimit(2))."""
    pids = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    return sum(
        status_number(pid, "Threads") for pid in pids if status_number(pid, "Uid") == os.getuid()
    )
