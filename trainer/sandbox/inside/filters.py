"""Loading a system-call filter into the calling process: seccomp(2), without a library."""

import ctypes
import errno
import os

_SECCOMP = {"x86_64": 317, "aarch64": 277}
_SET_MODE_FILTER = 1
_ALL_THREADS, _NEW_LISTENER = 1 << 0, 1 << 3
_INSTRUCTION_BYTES = 8


class _Program(ctypes.Structure):  # struct sock_fprog
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def load_filter(program: bytes, *, with_listener: bool = False) -> int:
    """Bind all threads, and what they start, to a classic BPF program, for good.

    With a listener it is this thread alone. Return the listener's descriptor, 0 without one.
    Raises OSError where the kernel refuses.
    """
    wanted = _Program(len(program) // _INSTRUCTION_BYTES, program)
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.syscall(
        _SECCOMP[os.uname().machine],
        _SET_MODE_FILTER,
        _NEW_LISTENER if with_listener else _ALL_THREADS,
        ctypes.byref(wanted),
    )
    if result < 0:
        raise OSError(ctypes.get_errno(), "the kernel refuses a system-call filter")
    if result and not with_listener:
        raise OSError(errno.EBUSY, f"thread {result} has a system-call filter of its own")
    return int(result)
