"""`python -m tests.adversarial.places PLACE COMMAND…`: run a command where sandboxes differ.

    user       an ordinary user
    container  root as in Docker: its default capabilities, no namespaces (tier container)
    pod        an ordinary user in such a container (tier partial)

Meant for root of a throw-away or build machine; a place is made by giving rights up, so nothing
has to be undone.
"""

import ctypes
import os
import platform
import struct
import sys

from trainer.sandbox.inside.restrictions import load_filter

PLACES = ("user", "container", "pod")
NOBODY = 65534
# CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP, NET_BIND_SERVICE, NET_RAW,
# SYS_CHROOT, MKNOD, AUDIT_WRITE, SETFCAP: what Docker leaves to root.
_DOCKER_CAPABILITIES = {0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31}
_LAST_CAPABILITY = 40
_CAPBSET_DROP, _SET_NO_NEW_PRIVILEGES = 24, 38  # prctl(2)
_CAPSET = {"x86_64": 126, "aarch64": 91}
_CAPABILITY_VERSION_3 = 0x20080522

_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_NAMESPACE_FLAGS = 0x7E020000
_ALLOW, _EPERM, _ENOSYS = 0x7FFF0000, 0x00050001, 0x00050000 | 38
_NUMBERS = {
    "x86_64": {"clone": 56, "unshare": 272, "mount": 165, "setns": 308, "clone3": 435},
    "aarch64": {"clone": 220, "unshare": 97, "mount": 40, "setns": 268, "clone3": 435},
}


def main() -> None:
    """Go to the place and become the command."""
    place, command = sys.argv[1], sys.argv[2:]
    if place not in PLACES or not command:
        sys.exit(__doc__)
    if place in ("container", "pod"):
        _drop_capabilities()
        _refuse_namespaces()
    if place in ("user", "pod"):
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    os.execvp(command[0], command)  # noqa: S606


def _prctl(*arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(*arguments):
        raise OSError(ctypes.get_errno(), f"prctl{arguments}")


def _drop_capabilities() -> None:
    for capability in set(range(_LAST_CAPABILITY + 1)) - _DOCKER_CAPABILITIES:
        _prctl(_CAPBSET_DROP, capability, 0, 0, 0)
    kept = sum(1 << capability for capability in _DOCKER_CAPABILITIES)
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    sets = struct.pack("=6I", kept, kept, 0, 0, 0, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(_CAPSET[platform.machine()], header, sets):
        raise OSError(ctypes.get_errno(), "capset")


def _refuse_namespaces() -> None:
    """Refuse namespaces as Docker's own filter does without CAP_SYS_ADMIN."""
    number = _NUMBERS[platform.machine()]

    def statement(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
        return struct.pack("HBBI", code, if_true, if_false, value)

    program = [
        statement(_LOAD, 0),
        statement(_EQUAL, number["clone"], 0, 3),
        statement(_LOAD, 16),
        statement(_ANY_BIT, _NAMESPACE_FLAGS, 0, 1),
        statement(_RETURN, _EPERM),
        statement(_LOAD, 0),
        statement(_EQUAL, number["clone3"], 0, 1),
        statement(_RETURN, _ENOSYS),
    ]
    for name in ("unshare", "mount", "setns"):
        program += [statement(_EQUAL, number[name], 0, 1), statement(_RETURN, _EPERM)]
    joined = b"".join([*program, statement(_RETURN, _ALLOW)])

    _prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    load_filter(joined)


if __name__ == "__main__":
    main()
