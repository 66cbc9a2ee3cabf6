"""The gate of a sandbox that scores: open while the script sets up, shut for good before it sees
the first row.

What a process looks up and reads leaves marks in the kernel that outlive it. A script that knows
the targets while it is scored could leave them for the process that is audited. So before any
untrusted code runs, a harness's `boot` loads a filter that asks its listener about each call but
those that only compute or use the process's socket (`seccomp.gate_program`, seccomp_unotify(2)).
The listener is handed to us. We let every call go on, count them, and at the right moment close the
listener: from then on each one answers ENOSYS, which nothing inside can undo.
"""

import asyncio
import contextlib
import fcntl
import os
import struct

_RECEIVE, _ANSWER = 0xC0502100, 0xC0182101
_NOTIFICATION = struct.Struct("=QII64x")  # id, pid, flags, the call
_RESPONSE = struct.Struct("=QqiI")  # id, value, error, flags
_GO_ON = 1
_MOST_LOOKUPS = 200_000  # a set-up that imports all of torch makes a tenth of it


class Gate:
    """Outside: holds the listener, on the running event loop, until `shut`."""

    def __init__(self, listener: int) -> None:
        self._listener: int | None = listener
        self._lookups = 0
        asyncio.get_running_loop().add_reader(listener, self._let_one_go_on)

    def shut(self) -> None:
        """Let no further look-up through."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            os.close(self._listener)
            self._listener = None

    def _let_one_go_on(self) -> None:
        assert self._listener is not None  # noqa: S101 -- its reader is removed with it
        self._lookups += 1
        if self._lookups > _MOST_LOOKUPS:  # somebody keeps us busy
            self.shut()
            return
        with contextlib.suppress(FileNotFoundError):  # the caller was killed meanwhile
            asked = fcntl.ioctl(self._listener, _RECEIVE, bytes(_NOTIFICATION.size))
            number = _NOTIFICATION.unpack(asked)[0]
            fcntl.ioctl(self._listener, _ANSWER, _RESPONSE.pack(number, 0, 0, _GO_ON))
