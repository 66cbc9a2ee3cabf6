"""Immutable memory files, passed to sandboxes as read-only descriptors."""

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator
from typing import TypeAlias

Data: TypeAlias = bytes | memoryview

# Refuses later writes and writable mappings (Linux 5.1; fcntl(2)). F_SEAL_WRITE also checks for
# earlier mappings, of which there are none, and fails while the kernel itself uses a page.
_F_SEAL_FUTURE_WRITE = 0x10
_SEALS = _F_SEAL_FUTURE_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
# FS_IOC_SETFLAGS and FS_NOATIME_FL (linux/fs.h; for memory files since Linux 6.0). The time of the
# last read, to the nanosecond, must not reach the next sandbox with the same data.
_SET_FLAGS = 0x40086602
_NO_ACCESS_TIME = (0x80).to_bytes(8, "little")


class Sealed:
    """A sealed memory file that contains the given parts, joined."""

    def __init__(self, parts: Iterable[Data]) -> None:
        self._descriptor = os.memfd_create("arnode", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            with os.fdopen(os.dup(self._descriptor), "wb") as file:
                for part in parts:
                    file.write(memoryview(part).cast("B"))
            # The file's owner could open it for writing. The seals refuse the write, but the file's
            # times would reveal the attempt.
            os.fchmod(self._descriptor, 0o444)
            with contextlib.suppress(OSError):  # an older kernel: docs/threat-model.md
                fcntl.ioctl(self._descriptor, _SET_FLAGS, _NO_ACCESS_TIME)
            fcntl.fcntl(self._descriptor, fcntl.F_ADD_SEALS, _SEALS)
        except BaseException:
            self.close()
            raise

    @contextlib.contextmanager
    def opened(self) -> Iterator[int]:
        """Yield a new descriptor, whose file position no other sandbox shares."""
        readable = os.open(f"/proc/self/fd/{self._descriptor}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield readable
        finally:
            os.close(readable)

    def close(self) -> None:
        """Close the file; descriptors from `opened` stay valid."""
        os.close(self._descriptor)


def in_memory(data: bytes) -> int:
    """Return a descriptor from which the data can be read once.

    A pipe is no alternative, because its capacity may be a single page.
    """
    descriptor = os.memfd_create("arnode", os.MFD_CLOEXEC)
    os.write(descriptor, data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


@contextlib.contextmanager
def sealed(data: Data) -> Iterator[int]:
    """Yield a read-only descriptor of a sealed copy of the data."""
    with contextlib.closing(Sealed([data])) as kept, kept.opened() as descriptor:
        yield descriptor
