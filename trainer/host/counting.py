"""Counts the instructions that a process executes, by the processor's hardware counter.

The node opens the counter for a sandboxed process that waits for its first frame. The descriptor
stays in the node: the sandbox has no copy, and its filter refuses all system calls for counters
(`trainer.sandbox.seccomp`). The counter includes what the process and its descendants execute in
user mode, without the kernel's work. It can still be read after they have ended.

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
# struct perf_event_attr, first version: type, size, config, sample period, sample type, read
# format, flags, wake-up events, breakpoint type and two breakpoint addresses.
_ATTRIBUTES: Final = struct.Struct("=IIQQQQQIIQ")
_INHERIT, _PINNED, _NO_KERNEL, _NO_HYPERVISOR = 1 << 1, 1 << 2, 1 << 5, 1 << 6
_CLOSE_ON_EXEC: Final = 8
_ANY_CORE, _NO_GROUP = -1, -1
_VALUE: Final = struct.Struct("=Q")
_PARANOID: Final = Path("/proc/sys/kernel/perf_event_paranoid")
_HINT: Final = 'count "cpu_s" instead, or use a machine that lets programs read its counters'

_libc = ctypes.CDLL(None, use_errno=True)


class Counter:
    """A counter of the instructions that one process and its descendants execute.

    Counting begins when it is opened.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def instructions(self) -> int:
        """Return the number of instructions so far.

        Raises ConfigurationError if the counter was interrupted.
        """
        value = os.read(self._descriptor, _VALUE.size)
        if len(value) < _VALUE.size:  # another program took over the counter
            raise ConfigurationError(
                "instructions could not be counted: another program uses the processor's counters",
                f"end that program (`perf`, a profiler, the NMI watchdog); or {_HINT}",
            )
        return int(_VALUE.unpack(value)[0])


@contextlib.contextmanager
def counted(pid: int) -> Iterator[Counter]:
    """Yield a counter of a process's instructions. Raises ConfigurationError without a counter."""
    try:
        descriptor = _opened(pid)
    except OSError as error:
        raise _refusal(error) from error
    try:
        yield Counter(descriptor)
    finally:
        os.close(descriptor)


def require_counter() -> None:
    """Raise ConfigurationError if this machine has no counter or does not permit its use."""
    with counted(os.getpid()):
        pass


def _opened(pid: int) -> int:
    """Return the descriptor of a counter for a process. Raises OSError."""
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
            said = "instructions cannot be counted here: the processor has no counter for them"
            return ConfigurationError(said, _HINT)
        case errno.EACCES | errno.EPERM:
            paranoid = _PARANOID.read_text().strip() if _PARANOID.exists() else "not there"
            said = f"instructions may not be counted: kernel.perf_event_paranoid is {paranoid}"
            return ConfigurationError(
                said, f"`sudo sysctl kernel.perf_event_paranoid=2` permits it; or {_HINT}"
            )
    return ConfigurationError(said, _HINT)
