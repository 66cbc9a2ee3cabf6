"""The rights that a process gives up for good before it runs untrusted code.

These are capabilities (capset(2), prctl(2)), limits (setrlimit(2)) and system calls (seccomp(2)).
This module must import only the standard library, because it runs in sandboxes without other
packages and in children that have just forked.
"""

import ctypes
import errno
import os
import resource
import struct

_CAPSET, _CAPABILITY_VERSION_3 = {"x86_64": 126, "aarch64": 91}, 0x20080522
_NO_NEW_PRIVILEGES = 38  # prctl(2)
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_SET_MODE_FILTER = 1
_ALL_THREADS, _NEW_LISTENER = 1 << 0, 1 << 3
_INSTRUCTION_BYTES = 8


def keep_capabilities(kept: int = 0) -> None:
    """Give up all capabilities except the bits in `kept`, even as root.

    no_new_privs prevents the process from regaining them. Raises OSError.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    sets = struct.pack("=6I", kept, kept, kept, 0, 0, 0)  # effective, permitted, inheritable
    if libc.syscall(_CAPSET[os.uname().machine], header, sets):
        raise OSError(ctypes.get_errno(), "capabilities cannot be dropped")


def become_user(uid: int, *, processes: int) -> None:
    """Become a throw-away user with at most `processes` processes and threads. Raises OSError."""
    lower_limit(resource.RLIMIT_NPROC, processes)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def forbid_new_privileges() -> None:
    """Keep the programs that this thread executes from gaining rights. Raises OSError."""
    if ctypes.CDLL(None, use_errno=True).prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs is refused")


def limit_self() -> None:
    """Lower this process's resource limits; limits that are lower already stay.

    Call it after all descriptors are sent. The kernel compares a user's descriptors in transit with
    the sender's limit, and a candidate in another sandbox may use up that limit.
    """
    for limit, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 512),
        (resource.RLIMIT_FSIZE, 1 << 30),
        # Queued signals (each timer has one) are counted per user: one sandbox must not use up
        # those of another. A candidate must not inherit the right to real-time priorities.
        (resource.RLIMIT_SIGPENDING, 1024),
        (resource.RLIMIT_NICE, 0),
        (resource.RLIMIT_RTPRIO, 0),
        (resource.RLIMIT_MEMLOCK, 8 << 20),
    ):
        lower_limit(limit, most)


def lower_limit(limit: int, most: int, *, pid: int = 0) -> None:
    """Lower a resource limit of a process, by default this one; a lower limit stays.

    Raises OSError, ProcessLookupError if the process is gone.
    """
    allowed = resource.prlimit(pid, limit)[1]
    lower = most if allowed == resource.RLIM_INFINITY else min(most, allowed)
    resource.prlimit(pid, limit, (lower, lower))


class _Program(ctypes.Structure):  # struct sock_fprog
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def load_filter(program: bytes, *, with_listener: bool = False) -> int:
    """Load a classic BPF filter for all threads and everything that they start, for good.

    With a listener the filter applies only to this thread. Return the listener's descriptor, or 0
    without one. Raises OSError if the kernel refuses.
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
        raise OSError(errno.EBUSY, f"thread {result} has another system-call filter")
    return int(result)
