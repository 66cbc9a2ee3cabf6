"""The kernel's limit on the processes and threads of sandboxes.

The watchdog ends a sandbox that has too many, but it looks only a few times a second. By then a
fork bomb may have started thousands, which leave no CPU time for the rest of the machine, the
watchdog included. For an ordinary user the kernel enforces RLIMIT_NPROC (setrlimit(2)). It does not
apply to root. Root's sandboxes share a control group with a limit, where one can be created (Linux:
Documentation/admin-guide/cgroup-v1/pids.rst).
"""

import atexit
import contextlib
import os
import re
import resource
from functools import cache
from pathlib import Path
from typing import Final

from trainer.host.processes import own_threads
from trainer.sandbox.inside.restrictions import lower_limit

SPARE: Final = 8  # processes above the watchdog's limit, so that the watchdog acts first
MOST_OF_ROOT: Final = 2048  # processes and threads of all sandboxes of a node together
_GROUPS: Final = (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup"))  # version 1, version 2
_PREFIX: Final = "arnode-"
_SHELL: Final = "/bin/sh"
_JOIN: Final = 'echo 0 >"$0" && exec "$@"'
_COUNTED_APART: Final = (5, 14)  # the first Linux that counts by user namespace


def bind_process(pid: int, most: int) -> None:
    """Limit a process of ours, with all that it starts, to `most` processes and threads.

    Does nothing for root, or if the process is gone.
    """
    if os.getuid() == 0:
        return
    limit = most + SPARE + (0 if _is_counted_apart(pid) else own_threads())
    with contextlib.suppress(ProcessLookupError):
        lower_limit(resource.RLIMIT_NPROC, limit, pid=pid)


def joining_group(command: list[str]) -> list[str]:
    """Return a command that joins the control group first, if there is one."""
    group = control_group()
    return command if group is None else [_SHELL, "-c", _JOIN, str(group), *command]


@cache
def control_group() -> Path | None:
    """Return the file to which a process writes "0" to join the control group of our sandboxes.

    Returns None for an ordinary user, and where root cannot create one, as in most containers.
    """
    if os.getuid() != 0:
        return None
    for parent in _GROUPS:
        group = parent / f"{_PREFIX}{os.getpid()}"
        try:
            _remove_left_over(parent)
            group.mkdir(exist_ok=True)
        except OSError:
            continue
        atexit.register(_remove, group)
        try:
            (group / "pids.max").write_text(f"{MOST_OF_ROOT}\n")
        except OSError:  # processes are not counted in this hierarchy
            _remove(group)
            continue
        return group / "cgroup.procs"
    return None


def _remove_left_over(parent: Path) -> None:
    """Remove the groups of nodes that were killed."""
    for group in parent.glob(f"{_PREFIX}[0-9]*"):
        if not Path("/proc", group.name.removeprefix(_PREFIX)).exists():
            _remove(group)


def _remove(group: Path) -> None:
    with contextlib.suppress(OSError):  # its processes have not all ended
        group.rmdir()


def _is_counted_apart(pid: int) -> bool:
    """Return True if the kernel counts processes in `pid`'s user namespace separately from ours."""
    version = tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2])
    try:
        is_elsewhere = not Path("/proc/self/ns/user").samefile(f"/proc/{pid}/ns/user")
    except OSError:  # it has just ended
        return False
    return is_elsewhere and version >= _COUNTED_APART
