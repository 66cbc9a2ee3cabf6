"""A guard, `python guard.py FOLDER COMMAND…`: it runs a command, but not beyond its starter's end.

The starter is the process that starts the guard. Standard input is a lifeline: the reading end of
a pipe whose other end only the starter holds. The kernel closes it when the starter ends, for
whatever reason. Then the command gets SIGTERM, and soon afterwards all its descendants are killed.
The guard is their subreaper, so processes that a dead node leaves behind become the guard's
children and not those of process 1. If the guard itself is killed, the kernel kills the command
too.

FOLDER is a folder that the starter removes at its end, or empty. The starter and all its guards
hold a shared lock in it while they run. If the starter did not remove the folder, the last guard to
end removes it.
"""

import contextlib
import ctypes
import fcntl
import os
import select
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Final

LOCK: Final = "in-use"
_PATIENCE_S = 3.0
_LOOKED_S = 0.02
_SET_DEATH_SIGNAL, _SET_CHILD_SUBREAPER = 1, 36  # prctl(2)


def main() -> None:
    """Run the command until it or the lifeline ends; exit with its exit code."""
    folder, *command = sys.argv[1:]
    lock = os.open(Path(folder, LOCK), os.O_RDWR) if folder else None
    if lock is not None:
        fcntl.flock(lock, fcntl.LOCK_SH)
    _prctl(_SET_CHILD_SUBREAPER)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    status = None if _is_cut() else _run(command, woken)
    _end_all()
    if lock is not None and _is_cut():
        _remove(folder, lock)
    sys.exit(_exit_code(status))


def _is_cut() -> bool:
    return bool(select.select([0], [], [], 0)[0])


def _run(command: list[str], woken: int) -> int | None:
    """Return the command's status; None if it did not end in time after SIGTERM."""
    guard = os.getpid()
    process = os.fork()
    if not process:
        _become(command, guard)
    while True:
        ready = select.select([0, woken], [], [])[0]
        if woken in ready:
            os.read(woken, 1 << 10)
            if (status := _reap(process)) is not None:
                return status
        if 0 in ready:
            break
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGTERM)
    deadline_s = time.monotonic() + _PATIENCE_S
    status = _reap(process)
    while status is None and (left_s := deadline_s - time.monotonic()) > 0:
        select.select([woken], [], [], left_s)
        status = _reap(process)
    return status


def _become(command: list[str], guard: int) -> None:
    try:
        _prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != guard:  # the guard died before prctl took effect
            return
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.execvp(command[0], command)  # noqa: S606
    except OSError as fault:
        print(f"cannot start {command[0]}: {fault}", file=sys.stderr)
    finally:
        os._exit(127)


def _reap(wanted: int) -> int | None:
    """Reap all ended children; return the status of `wanted` if it is among them."""
    found = None
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == wanted:
                found = ended[1]
    return found


def _end_all() -> None:
    """Kill all descendants. Orphans of killed children become children of this process."""
    while _children():
        for child in _children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        time.sleep(_LOOKED_S)
        _reap(0)


def _children() -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            after_name = (folder / "stat").read_bytes().rpartition(b")")[2]
            if int(after_name.split()[1]) == os.getpid():  # proc(5): state, then ppid
                found.append(int(folder.name))
    return found


def _remove(folder: str, lock: int) -> None:
    """Remove the folder unless another process still uses it."""
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)


def _exit_code(status: int | None) -> int:
    if status is None:
        return 128 + signal.SIGKILL
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _prctl(option: int, value: int = 1) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    main()
