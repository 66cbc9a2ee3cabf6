"""Instructions that a process executes, counted by the processor.

The counter is opened from outside, on a process that waits for its first frame: it is a descriptor
of ours, which nobody inside holds or could name, and no call that touches counters is let through
(`trainer.sandbox.seccomp`). It counts what the process and all that it starts execute themselves;
what the kernel does for them is not counted. Once they have ended it still says how much that was.

Many virtual machines have no such counter. Source: perf_event_open(2).
"""

import contextlib
import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from protocol.errors import ConfigurationError

_CALL: Final = {"x86_64": 298, "aarch64": 241}
_HARDWARE, _INSTRUCTIONS = 0, 1  # PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS
_EVENT = (_HARDWARE, _INSTRUCTIONS)
# struct perf_event_attr, first version: type, size, config, period, samples, what is read, flags,
# wake-ups, a breakpoint's kind and two addresses.
_ATTRIBUTES: Final = struct.Struct("=IIQQQQQIIQ")
_INHERIT, _PINNED, _NO_KERNEL, _NO_HYPERVISOR = 1 << 1, 1 << 2, 1 << 5, 1 << 6
_CLOSE_ON_EXEC: Final = 8
_ANY_CORE, _NO_GROUP = -1, -1
_VALUE: Final = struct.Struct("=Q")
_PARANOID: Final = Path("/proc/sys/kernel/perf_event_paranoid")
_MEND: Final = 'count "cpu_s" instead, or use a machine whose processor shows its counters'

_libc = ctypes.CDLL(None, use_errno=True)


class Counter:
    """Counts what one process executes, with all that it starts, from when it is opened."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def instructions(self) -> int:
        """Return how many there were so far. Raises ConfigurationError where they were missed."""
        value = os.read(self._descriptor, _VALUE.size)
        if len(value) < _VALUE.size:  # the counter was given to somebody else meanwhile
            raise ConfigurationError(
                "instructions could not be counted: another program uses the processor's counters",
                f"end it (`perf`, a profiler, the watchdog of NMIs); or {_MEND}",
            )
        return int(_VALUE.unpack(value)[0])


@contextlib.contextmanager
def counted(pid: int) -> Iterator[Counter]:
    """Count what a process executes in a block and after. Raises ConfigurationError."""
    try:
        descriptor = _opened(pid)
    except OSError as error:
        raise _refusal(error) from error
    try:
        yield Counter(descriptor)
    finally:
        os.close(descriptor)


def require_counter() -> None:
    """Raise ConfigurationError where there is no counter, or it is not to be had."""
    with counted(os.getpid()):
        pass


def _opened(pid: int) -> int:
    """Return the descriptor of a counter of a process. Raises OSError."""
    kind, config = _EVENT
    flags = _INHERIT | _PINNED | _NO_KERNEL | _NO_HYPERVISOR
    attributes = _ATTRIBUTES.pack(kind, _ATTRIBUTES.size, config, 0, 0, 0, flags, 0, 0, 0)
    number = _CALL.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    descriptor = int(_libc.syscall(number, attributes, pid, _ANY_CORE, _NO_GROUP, _CLOSE_ON_EXEC))
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return descriptor


def _refusal(error: OSError) -> ConfigurationError:
    said = f"instructions cannot be counted here: {error.strerror}"
    match error.errno:
        case errno.ENOENT | errno.ENODEV | errno.EOPNOTSUPP | errno.ENOSYS:
            said = "instructions cannot be counted here: there is no counter of them"
            return ConfigurationError(said, _MEND)
        case errno.EACCES | errno.EPERM:
            told = _PARANOID.read_text().strip() if _PARANOID.exists() else "not there"
            said = f"instructions may not be counted: kernel.perf_event_paranoid is {told}"
            return ConfigurationError(
                said, f"`sudo sysctl kernel.perf_event_paranoid=2` lets it be; or {_MEND}"
            )
    return ConfigurationError(said, _MEND)
