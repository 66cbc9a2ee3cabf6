"""Landlock: a process gives up, for good, every file right that is not in a list.

Sandboxes without a mount namespace use it (`trainer.sandbox.confine`). Rights apply to everything
beneath a path, whatever name it is reached by. All other files cannot be opened, listed, written or
executed, but their existence and size can still be queried. Source: landlock(7),
linux/landlock.h, the kernel's Documentation/userspace-api/landlock.rst.
"""

from collections.abc import Iterable, Mapping
from enum import IntFlag
from pathlib import Path

from protocol.errors import SafetyError
from trainer.sandbox.inside.landlock import Ruleset, give_up, landlock_abi

_SCOPED_ABI = 6  # the first version that can block signals and abstract sockets
_SCOPED = 0b11
_NET_ABI = 4
_NET = 0b11  # TCP bind and connect


class Access(IntFlag):
    """A set of rights beneath a path (LANDLOCK_ACCESS_FS_*)."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15

    @classmethod
    def known_to(cls, abi: int) -> "Access":
        """Return every right that a kernel of this ABI can refuse."""
        bits = 13 + (abi >= 2) + (abi >= 3) + (abi >= 5)
        return cls((1 << bits) - 1)


READ = Access.READ_FILE | Access.READ_DIR | Access.EXECUTE
LIST = Access.READ_DIR
WRITE = (
    READ | Access.WRITE_FILE | Access.TRUNCATE | Access.REMOVE_FILE | Access.REMOVE_DIR
    | Access.MAKE_DIR | Access.MAKE_REG | Access.MAKE_SYM | Access.REFER
)  # fmt: skip
DEVICE = Access.READ_FILE | Access.WRITE_FILE
CARD = DEVICE | Access.IOCTL_DEV  # its driver is used through ioctl
OWN = READ | Access.WRITE_FILE | Access.TRUNCATE
EVERYTHING = Access((1 << 16) - 1)
_OF_FILES = (
    Access.EXECUTE | Access.WRITE_FILE | Access.READ_FILE | Access.TRUNCATE | Access.IOCTL_DEV
)


def can_scope_signals() -> bool:
    """Return True if this kernel can stop a process with our uid from signalling us."""
    return landlock_abi() >= _SCOPED_ABI


def ruleset(allowed: Mapping[Path, Access], *, is_networked: bool = False) -> Ruleset:
    """Return rules that give up everything not in `allowed`, as far as this kernel can refuse it.

    A process under these rules can signal only processes that it starts, and can connect only to
    their abstract sockets. `is_networked` leaves TCP allowed. Raises SafetyError without Landlock.
    """
    abi = landlock_abi()
    if not abi:
        raise SafetyError("the kernel has no Landlock", "use Linux 5.13 or newer with Landlock on")
    return Ruleset(
        handled=Access.known_to(abi),
        network=_NET if abi >= _NET_ABI and not is_networked else 0,
        scoped=_SCOPED if abi >= _SCOPED_ABI else 0,
        of_files=_OF_FILES,
        rules={str(path): int(access) for path, access in allowed.items()},
    )


def restrict_self(allowed: Mapping[Path, Access], *, is_networked: bool = False) -> None:
    """Give up everything not in `allowed`; paths that do not exist are skipped.

    Applies to this thread and what it starts. Raises SafetyError if the kernel refuses.
    """
    wanted = ruleset(allowed, is_networked=is_networked)
    try:
        give_up(wanted)
    except OSError as error:
        raise SafetyError(
            f"Landlock cannot be used: {error.strerror}", "see `arnode doctor`"
        ) from error


def everything_but(
    hidden: Iterable[Path], *, beneath: Path = Path("/"), access: Access = EVERYTHING
) -> dict[Path, Access]:
    """Return rules that allow all files of a folder except those beneath the hidden folders.

    A right applies to everything beneath its folder, so the children of a folder above a hidden one
    are allowed one by one.
    """
    hidden = [path.resolve() for path in hidden]
    rules: dict[Path, Access] = {}
    waiting = [beneath]
    while waiting:
        folder = waiting.pop()
        if not any(path == folder or folder in path.parents for path in hidden):
            rules[folder] = access
        elif folder not in hidden:
            waiting += [path for path in folder.iterdir() if not path.is_symlink()]
    return rules
