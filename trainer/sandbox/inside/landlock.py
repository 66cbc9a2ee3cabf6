"""Landlock's three system calls: a process gives up every file right that is not in a list.

`trainer.sandbox.landlock` defines the rights, and which of them a kernel supports. Source:
landlock(7), linux/landlock.h.
"""

import ctypes
import os
import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from trainer.sandbox.inside.restrictions import forbid_new_privileges

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # on every architecture
_ASK_VERSION = 1
_RULE_PATH_BENEATH = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruleset:
    """The rights to give up, and the rights that stay allowed beneath each path, as kernel bits.

    `of_files` are the rights that apply to a path that is not a folder.
    """

    handled: int
    network: int
    scoped: int
    of_files: int
    rules: Mapping[str, int]


def landlock_abi() -> int:
    """Return the kernel's Landlock version; 0 if it has none."""
    return max(0, _call(_CREATE_RULESET, None, 0, _ASK_VERSION))


def give_up(wanted: Ruleset) -> None:
    """Restrict this thread and all that it starts, for good; skip paths that do not exist.

    Raises OSError if the kernel refuses.
    """
    attributes = struct.pack("=QQQ", wanted.handled, wanted.network, wanted.scoped)
    # Older kernels have a shorter structure, and refuse a longer one unless the rest is zero.
    ruleset = _checked(_CREATE_RULESET, attributes, len(attributes), 0)
    try:
        for path, access in wanted.rules.items():
            _allow(ruleset, path, access & wanted.handled, wanted.of_files)
        forbid_new_privileges()
        _checked(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, access: int, of_files: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            access &= of_files
        rule = struct.pack("=Qi", access, descriptor)
        _checked(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, rule, 0)
    finally:
        os.close(descriptor)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: bytes | int | None) -> int:
    return int(_libc().syscall(number, *arguments))


def _checked(number: int, *arguments: bytes | int | None) -> int:
    result = _call(number, *arguments)
    if result < 0:
        reason = os.strerror(ctypes.get_errno())
        raise OSError(ctypes.get_errno(), f"system call {number}: {reason}")
    return result
