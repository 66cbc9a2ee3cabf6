"""What /proc says about a process and its descendants: the eyes of the sandbox's watchdog."""

import contextlib
import os
import time
from collections.abc import Iterable
from pathlib import Path

# What a pipe and a socket can hold, which a sandbox may not change (pipe(7), socket(7)).
_PIPE_KIB = 64
_SOCKET_KIB = 208  # /proc/sys/net/core/wmem_default, of what one end has sent
_CPU_CLOCK = 2  # CPUCLOCK_SCHED of clock_getcpuclockid(3)


def family_of(pid: int) -> list[int]:
    """A process and its descendants."""
    family = [pid]
    for member in family:
        with contextlib.suppress(OSError):
            for children in Path(f"/proc/{member}/task").glob("*/children"):
                family += map(int, children.read_text().split())
    return family


def status_number(pid: int, field: str) -> int:
    """A number of /proc/PID/status (kibibytes for sizes); 0 once the process is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1])
    return 0


def held_kib(pid: int) -> int:
    """What a process holds: also page tables, which mapping much and touching little makes grow."""
    return sum(status_number(pid, field) for field in ("VmRSS", "VmSwap", "VmPTE", "HugetlbPages"))


def proportional_kib(pid: int) -> int:
    """The same with pages that several processes share counted by their share."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return held_kib(pid) - status_number(pid, "VmRSS") + int(line.split()[1])
    return held_kib(pid)  # a process may hide its maps from us: then its pages count in full


def pipes_kib(pids: Iterable[int]) -> int:
    """Return what pipes and sockets that these processes have open can hold: no process's size
    shows it. One socket is left out, the channel by which a sandbox speaks with the node.
    """
    opened: set[str] = set()
    for pid in pids:
        with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:
            # An error means that it has just ended.
            opened.update(os.readlink(one.path) for one in entries)  # noqa: PTH115 -- ten times a second
    pipes = sum(one.startswith("pipe:") for one in opened)
    sockets = sum(one.startswith("socket:") for one in opened)
    return pipes * _PIPE_KIB + max(0, sockets - 1) * _SOCKET_KIB


def written_bytes(pids: Iterable[int]) -> int:
    """Return all that these processes have written so far, to files, pipes and terminals.

    It never falls, whatever is deleted later. What is sent to sockets is not in it, what a mapping
    of a file changes neither; a process that was waited for counts with the one that did. 0 where
    the kernel does not say, as to somebody who may not ask.
    """
    written = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/io").read_text().splitlines():
                if line.startswith("wchar:"):
                    written += int(line.split()[1])
    return written


def used_cpu_s(pids: Iterable[int]) -> float:
    """CPU seconds of these processes so far."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
            ticks += int(fields[11]) + int(fields[12])  # utime, stime
    return ticks / os.sysconf("SC_CLK_TCK")


def exact_cpu_s(pid: int) -> float:
    """CPU seconds of one process so far, to the nanosecond. Raises OSError once it is gone."""
    return time.clock_gettime((~pid << 3) | _CPU_CLOCK)


def uids_in_use() -> set[int]:
    """The owners of all processes that can be seen."""
    owners: set[int] = set()
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            owners.add(path.stat().st_uid)
    return owners
