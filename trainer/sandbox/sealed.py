"""Memory that nobody can change any more, handed to sandboxes by read-only descriptors."""

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator
from typing import TypeAlias

Data: TypeAlias = bytes | memoryview

# No write from now on, and no writable mapping (Linux 5.1; fcntl(2)). There is none from before,
# for which F_SEAL_WRITE would look, and fail while the kernel itself holds a page for a moment.
_F_SEAL_FUTURE_WRITE = 0x10
_SEALS = _F_SEAL_FUTURE_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
# FS_IOC_SETFLAGS and FS_NOATIME_FL (linux/fs.h; of memory since Linux 6.0): when one sandbox read
# it last, to the nanosecond, is nothing for the next one that is given the same data.
_SET_FLAGS = 0x40086602
_NO_ACCESS_TIME = (0x80).to_bytes(8, "little")


class Sealed:
    """What some data are, one after the other."""

    def __init__(self, parts: Iterable[Data]) -> None:
        self._descriptor = os.memfd_create("arnode", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            with os.fdopen(os.dup(self._descriptor), "wb") as file:
                for part in parts:
                    file.write(memoryview(part).cast("B"))
            # Its owner could open it to write, which the seals refuse and its times would show.
            os.fchmod(self._descriptor, 0o444)
            with contextlib.suppress(OSError):  # an older kernel: docs/threat-model.md
                fcntl.ioctl(self._descriptor, _SET_FLAGS, _NO_ACCESS_TIME)
            fcntl.fcntl(self._descriptor, fcntl.F_ADD_SEALS, _SEALS)
        except BaseException:
            self.close()
            raise

    @contextlib.contextmanager
    def opened(self) -> Iterator[int]:
        """Yield a descriptor of its own, whose position no other sandbox shares."""
        readable = os.open(f"/proc/self/fd/{self._descriptor}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield readable
        finally:
            os.close(readable)

    def close(self) -> None:
        """Let go of it; whoever has a descriptor keeps it."""
        os.close(self._descriptor)


def in_memory(data: bytes) -> int:
    """Return a descriptor from which this is read, once. A pipe may hold no more than a page."""
    descriptor = os.memfd_create("arnode", os.MFD_CLOEXEC)
    os.write(descriptor, data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


@contextlib.contextmanager
def sealed(data: Data) -> Iterator[int]:
    """Yield a descriptor of data that are needed once."""
    with contextlib.closing(Sealed([data])) as kept, kept.opened() as descriptor:
        yield descriptor
