"""A second copy of this node's own records, in an append-only file.

It keeps the node's identity usable if the database is damaged. A node that forgets its last
sequence number signs that number a second time, and peers then ignore all its records for ever. The
database is authoritative. The copy is written after each commit, without an fsync of its own.
Opening the store compares database and copy, and adds the records that one of them lacks.
"""

import os
import struct
import zlib
from collections.abc import Iterable
from io import FileIO
from pathlib import Path

# A frame is length, wire, trailer. The trailer (crc32, index, length) can be read from the end.
_LENGTH = struct.Struct(">I")
_TRAILER = struct.Struct(">III")
_FRAME_LIMIT_BYTES = 1 << 16  # a record is at most 16 KiB


class Mirror:
    """The file; `count` is the number of complete frames in it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.count = self._last_index() + 1 if path.exists() else 0

    @classmethod
    def count_in(cls, path: Path) -> int:
        """Return the number of complete frames in a file that another process may be writing."""
        return len(_frames(path))

    def append(self, wires: Iterable[bytes]) -> None:
        """Append records after the last complete one."""
        frames: list[bytes] = []
        for index, wire in enumerate(wires, self.count):
            trailer = _TRAILER.pack(zlib.crc32(wire), index, len(wire))
            frames.append(_LENGTH.pack(len(wire)) + wire + trailer)
        with self._path.open("ab", buffering=0) as stream:
            end = stream.tell()
            try:
                _write_all(stream, b"".join(frames))
            except OSError:
                # An incomplete frame in the middle would hide all frames after it.
                stream.truncate(end)
                raise
        self.count += len(frames)

    def read(self, *, start: int = 0) -> list[bytes]:
        """Return the records in the complete frames from index `start` on."""
        return [wire for _, wire in _frames(self._path)][start:]

    def _last_index(self) -> int:
        """Cut off an incomplete last frame; return the index of the last complete one."""
        size = self._path.stat().st_size
        if size >= _LENGTH.size + _TRAILER.size:
            with self._path.open("rb") as stream:
                stream.seek(size - _TRAILER.size)
                crc, index, length = _TRAILER.unpack(stream.read())
                start = size - _TRAILER.size - length - _LENGTH.size
                if start >= 0 and 0 < length <= _FRAME_LIMIT_BYTES:
                    stream.seek(start)
                    frame = stream.read(_LENGTH.size + length)
                    is_whole = frame[: _LENGTH.size] == _LENGTH.pack(length)
                    if is_whole and zlib.crc32(frame[_LENGTH.size :]) == crc:
                        return int(index)
        frames = _frames(self._path)
        os.truncate(self._path, frames[-1][0] if frames else 0)
        return len(frames) - 1


def _frames(path: Path) -> list[tuple[int, bytes]]:
    """Return (end offset, encoded record) of the complete frames before the first damage."""
    data = path.read_bytes() if path.exists() else b""
    frames: list[tuple[int, bytes]] = []
    offset = 0
    while offset + _LENGTH.size <= len(data):
        (length,) = _LENGTH.unpack_from(data, offset)
        end = offset + _LENGTH.size + length + _TRAILER.size
        if length > _FRAME_LIMIT_BYTES or end > len(data):
            break
        wire = data[offset + _LENGTH.size : end - _TRAILER.size]
        expected = (zlib.crc32(wire), len(frames), length)
        if _TRAILER.unpack_from(data, end - _TRAILER.size) != expected:
            break
        frames.append((end, wire))
        offset = end
    return frames


def _write_all(stream: FileIO, data: bytes) -> None:
    # On a nearly full disk, a short write comes before an error.
    written = 0
    while written < len(data):
        written += stream.write(data[written:])
