"""Sealed data that no holder of its descriptor can change."""

import contextlib
import fcntl
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from trainer.sandbox.sealed import Sealed, sealed

DATA = bytes(range(256)) * 64


def test_a_sealed_descriptor_holds_the_data_from_its_start() -> None:
    with sealed(DATA) as descriptor:
        assert os.read(descriptor, len(DATA) + 1) == DATA
        assert not os.get_inheritable(descriptor)


def test_a_sealed_descriptor_cannot_be_written_grown_or_shrunk() -> None:
    with sealed(DATA) as descriptor:
        for change in (
            lambda: os.write(descriptor, b"x"),
            lambda: os.ftruncate(descriptor, 1),
            lambda: os.ftruncate(descriptor, 2 * len(DATA)),
            lambda: mmap.mmap(descriptor, 0, prot=mmap.PROT_READ | mmap.PROT_WRITE),
            lambda: fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE),
        ):
            with pytest.raises(OSError, match=r"not permitted|denied|Bad file|Invalid"):
                change()
        assert os.pread(descriptor, len(DATA), 0) == DATA


def test_reopening_it_for_writing_does_not_help() -> None:
    """A holder of the descriptor owns the file under /proc, but the seals stay."""
    with sealed(DATA) as descriptor:
        again = os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR)
        try:
            with pytest.raises(PermissionError):
                os.pwrite(again, b"x", 0)
            with pytest.raises(PermissionError):
                os.pwrite(again, b"x", len(DATA))
            with pytest.raises(PermissionError):
                os.ftruncate(again, 0)
        finally:
            os.close(again)
        assert os.pread(descriptor, len(DATA), 0) == DATA


def open_memory() -> int:
    """Return this process's descriptor of memory that is being filled."""
    links = (path for path in Path("/proc/self/fd").iterdir() if path.is_symlink())
    return next(int(path.name) for path in links if "memfd:arnode" in str(path.readlink()))


def test_it_is_sealed_while_something_holds_a_page() -> None:
    """The kernel holds one for a moment when it moves memory or writes it back."""
    reader, writer = os.pipe()

    def parts() -> Iterator[bytes]:
        yield DATA
        assert os.splice(open_memory(), writer, 4096, offset_src=0) == 4096
        yield DATA

    try:
        with contextlib.closing(Sealed(parts())) as kept, kept.opened() as descriptor:
            assert os.pread(descriptor, 2 * len(DATA), 0) == DATA + DATA
    finally:
        os.close(reader)
        os.close(writer)


def test_no_descriptor_is_left_over() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        with sealed(DATA):
            pass
        with contextlib.suppress(KeyError), sealed(DATA):
            raise KeyError
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_what_is_kept_is_its_parts_and_each_descriptor_begins_at_the_start() -> None:
    numbers = np.arange(1000, dtype="<u2")
    with (
        contextlib.closing(Sealed([DATA, numbers.data, b""])) as kept,
        kept.opened() as first,
        kept.opened() as second,
    ):
        for descriptor in (first, second):
            assert os.read(descriptor, 1 << 20) == DATA + numbers.tobytes()
        with pytest.raises(OSError, match="Bad file"):
            os.write(first, b"x")


def test_parts_that_cannot_be_read_leave_nothing_behind() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(TypeError, match="contiguous"):
        Sealed([np.zeros((4, 4), dtype=np.uint16).T[1:].data])
    assert len(list(Path("/proc/self/fd").iterdir())) == before


_GET_FLAGS, _NO_ACCESS_TIME = 0x80086601, 0x80


def test_when_it_was_read_last_is_noted_nowhere() -> None:
    """Otherwise one sandbox could give the next one a number of nanoseconds."""
    with contextlib.closing(Sealed([DATA])) as kept, kept.opened() as first:
        flags = fcntl.ioctl(first, _GET_FLAGS, bytes(8))
        if not int.from_bytes(flags, "little") & _NO_ACCESS_TIME:
            pytest.skip("this kernel keeps the times of memory whatever is asked")
        os.utime(first, ns=(1, 1))
        os.read(first, 1)
        with kept.opened() as second, mmap.mmap(second, 0, prot=mmap.PROT_READ) as mapped:
            assert mapped[:1] == DATA[:1]
            assert os.fstat(second).st_atime_ns == 1
