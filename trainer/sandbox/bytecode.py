"""Removes the host's folder names from compiled Python files that sandboxes can read.

A `.pyc` contains the path of its source at compile time, usually in a user's home directory. Python
does not use that path: on import it replaces the path in memory by the current one
(`importlib._bootstrap_external._compile_bytecode`). So this module writes the sandbox's path there
(`/packages`, `/python`), padded or cut to the same length. The file is valid at every moment.
"""

import contextlib
import marshal
import os
import re
import tempfile
from collections.abc import Collection
from pathlib import Path

TEMPORARY = ".arnode-compiled-"  # prefix of the names of short-lived files
_PUBLIC = "/usr/"  # where distributions install Python: reveals nothing about a user
_HEADER_BYTES = 16
_SHORT, _LONG = b"zZ", b"aAu"  # marshal's strings: with one byte of length, with four
_REFERENCE = 0x80  # flag in the type of an object that is referred to later
_COMPILED = re.compile(r"(.+?)\.[^.]+(\.opt-\d)?\.pyc")  # NAME.cpython-311.pyc


def hide_host_names(host: Path, inside: str, *, covered: Collection[Path] = ()) -> None:
    """Overwrite the source paths in all compiled files below `host`, shown inside as `inside`.

    Skip files that this user may not write, and files in `covered` folders.
    """
    left_out = set(map(str, covered))
    if str(host).startswith(_PUBLIC):
        return
    for within, folders, names in os.walk(host):
        folders[:] = [name for name in folders if f"{within}/{name}" not in left_out]
        if not within.endswith("/__pycache__"):
            continue
        folder = os.path.relpath(os.path.dirname(within), host)  # noqa: PTH120
        for name in names:
            if compiled := _COMPILED.fullmatch(name):
                source = os.path.normpath(f"{folder}/{compiled[1]}.py")
                with contextlib.suppress(OSError):  # another user's, or gone since
                    _hide(f"{within}/{name}", f"{host}/{source}", f"{inside}/{source}")


def _hide(path: str, source: str, shown: str) -> None:
    """Overwrite the source path in one file with `shown`, unless that is there already."""
    with open(path, "rb") as file:  # noqa: PTH123 -- thousands of them
        data = file.read()
    if _place_of(data, shown, padded=True) is not None:
        return
    name, at = source, _place_of(data, source)
    if at is None:  # it was compiled elsewhere
        with contextlib.suppress(EOFError, ValueError, TypeError):
            name = marshal.loads(data[_HEADER_BYTES:]).co_filename  # noqa: S302 -- only loaded
            at = _place_of(data, name)
    if at is not None and name.startswith("/") and not name.startswith(_PUBLIC):
        size = len(name.encode())
        _replace(path, data[:at] + shown.encode().rjust(size, b"/")[-size:] + data[at + size :])


def _replace(path: str, data: bytes) -> None:
    """Replace a whole file by rename, and preserve its owner and mode.

    Writing in place could damage a file that another process has replaced since it was read. There
    is no fsync, because there are thousands of files and they can be compiled again.
    """
    before = os.stat(path)  # noqa: PTH116
    descriptor, temporary = tempfile.mkstemp(prefix=TEMPORARY, dir=os.path.dirname(path))  # noqa: PTH120
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            os.fchown(descriptor, before.st_uid, before.st_gid)
            os.fchmod(descriptor, before.st_mode & 0o777)
        os.replace(temporary, path)  # noqa: PTH105
    except BaseException:
        os.unlink(temporary)  # noqa: PTH108
        raise


def _place_of(data: bytes, name: str, *, padded: bool = False) -> int | None:
    """Return the offset of a string in marshalled data; `padded` allows slashes before it."""
    wanted = name.encode()
    at = data.find(wanted)
    while at >= 0:
        start, size = at, len(wanted)
        while not _is_string(data, start, size):
            if not padded or data[start - 1 : start] != b"/":
                break
            start, size = start - 1, size + 1
        else:
            return start
        at = data.find(wanted, at + 1)
    return None


def _is_string(data: bytes, start: int, size: int) -> bool:
    """Return True if marshal data has a string of `size` bytes at `start`."""
    if data[start - 2] & ~_REFERENCE in _SHORT and data[start - 1] == size:
        return True
    length = int.from_bytes(data[start - 4 : start], "little")
    return data[start - 5] & ~_REFERENCE in _LONG and length == size
