"""The system-call gate of a scoring sandbox: open during set-up, shut before the first row.

When a process looks up and reads files, it leaves traces in the kernel that outlive it. A script
that knows the targets while it is scored could leave such traces for the process that is audited.
So before any untrusted code runs, a harness's `boot` loads a filter. The filter asks its listener
about each call except those that only compute or use the process's socket (`seccomp.gate_program`,
seccomp_unotify(2)). This process receives the listener, counts the calls and allows each of them
until it closes the listener. From then on each such call returns ENOSYS, which nothing inside can
undo.

An allowed call may still be blocked in the kernel, which reads its path later. So `shut` stops
every thread for a moment: the call ends, or starts again and is filtered.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import struct
from pathlib import Path

_RECEIVE, _ANSWER = 0xC0502100, 0xC0182101
_NOTIFICATION = struct.Struct("=QII64x")  # id, pid, flags, the call
_RESPONSE = struct.Struct("=QqiI")  # id, value, error, flags
_GO_ON = 1
_STOP_TIMEOUT_S, _STOP_INTERVAL_S = 20.0, 0.001
_STOPPED = ("T", "t", "Z", "X")  # states of a thread that runs no call (proc(5))
_MOST_LOOKUPS = 200_000  # a set-up that imports all of torch makes a tenth of these


class SyscallGate:
    """A gate for one process: serves its listener on the running event loop."""

    def __init__(self, listener: int, pid: int) -> None:
        """Start to serve the listener that a process has just sent.

        Raises ProcessLookupError if that process is gone.
        """
        try:
            self._pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            os.close(listener)
            raise
        self._listener: int | None = listener
        self._pid = pid
        self._lookups = 0
        asyncio.get_running_loop().add_reader(listener, self._let_one_go_on)

    async def shut(self) -> bool:
        """Refuse further calls; return True once no call is in progress, False if that fails."""
        self._close_listener()
        try:
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                while not self._is_stopped():  # noqa: ASYNC110 -- a stop raises no event
                    await asyncio.sleep(_STOP_INTERVAL_S)
        except (TimeoutError, ProcessLookupError):
            return False
        finally:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGCONT)
        return True

    def _is_stopped(self) -> bool:
        """Send the process SIGSTOP; return True if every thread is in a stopped state by now.

        A thread may continue the process, so each call sends the signal again.
        """
        signal.pidfd_send_signal(self._pidfd, signal.SIGSTOP)
        states = []
        for task in Path(f"/proc/{self._pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                states.append((task / "stat").read_text().rpartition(") ")[2][0])
        return all(state in _STOPPED for state in states)

    def close(self) -> None:
        """Close the listener, so that every call that would ask it is refused, and the pidfd."""
        self._close_listener()
        os.close(self._pidfd)

    def _close_listener(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            os.close(self._listener)
            self._listener = None

    def _let_one_go_on(self) -> None:
        assert self._listener is not None  # noqa: S101 -- its reader is removed with it
        self._lookups += 1
        if self._lookups > _MOST_LOOKUPS:  # the script tries to keep this node busy
            self._close_listener()
            return
        with contextlib.suppress(FileNotFoundError):  # the caller was killed meanwhile
            asked = fcntl.ioctl(self._listener, _RECEIVE, bytes(_NOTIFICATION.size))
            number = _NOTIFICATION.unpack(asked)[0]
            fcntl.ioctl(self._listener, _ANSWER, _RESPONSE.pack(number, 0, 0, _GO_ON))
