"""Rights that a process gives up for good: capabilities, and those of programs that it executes.

Source: capset(2), prctl(2).
"""

import ctypes
import os
import resource
import struct

_CAPSET, _CAPABILITY_VERSION_3 = {"x86_64": 126, "aarch64": 91}, 0x20080522
_NO_NEW_PRIVILEGES = 38  # prctl(2)


def keep_capabilities(kept: int = 0) -> None:
    """Give up all but these bits, also as a root that stays root; no_new_privs keeps them away.

    Raises OSError.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    sets = struct.pack("=6I", kept, kept, kept, 0, 0, 0)  # effective, permitted, inheritable
    if libc.syscall(_CAPSET[os.uname().machine], header, sets):
        raise OSError(ctypes.get_errno(), "capabilities cannot be dropped")


def become_user(uid: int, *, processes: int) -> None:
    """Take on a throw-away user, who may have so many processes and threads. Raises OSError."""
    resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def forbid_new_privileges() -> None:
    """Let no program that this thread executes have more rights than it. Raises OSError."""
    if ctypes.CDLL(None, use_errno=True).prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs is refused")
