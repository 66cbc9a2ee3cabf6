"""An index of record ids, sorted by (time, id), with the sum of the ids in any range.

It stores 40 bytes per key and one sum per few dozen keys. A million records take 50 MB; as Python
objects they would take 200 MB. Adding a key costs the same at any position.

Varints are those of negentropy: base 128, the most significant digit first, the high bit set in all
bytes except the last.
"""

import bisect
import hashlib
import struct
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import accumulate, islice, repeat
from typing import Final, Literal

from protocol.errors import Rejected

KEY_BYTES: Final = 40  # the time, 8 bytes big-endian, then the id
FINGERPRINT_BYTES: Final = 16
_ID_BYTES = 32
_CHUNK_KEYS = 64  # at most; a full chunk is split in two
_FILLED_KEYS = 48  # in each chunk when many keys are loaded at once
_MODULUS = 1 << 256
_NOWHERE = (-1, -1, 0, 0)
_MAX_VARINT_BYTES = 10  # for 64 bits
_DIGITS: Final = tuple(bytes([number]) for number in range(0x80))
# For `map`, which is several times as fast as a comprehension.
_number_of: Callable[[bytes, Literal["little"]], int] = int.from_bytes
_LITTLE: Iterable[Literal["little"]] = repeat("little")


def key_of(ts_ms: int, record_id: bytes) -> bytes:
    """Return the sort key of a record."""
    return ts_ms.to_bytes(8, "big") + record_id


class RecordIndex:
    """A sorted set of keys; a position is the index in the sorted list of all keys."""

    def __init__(self, keys: Iterable[bytes] = ()) -> None:
        """Build an index from sorted keys; add unsorted keys with `add`."""
        self._chunks: list[bytearray] = []
        self._firsts: list[bytes] = []
        self._sums: list[int] = []
        self._stale = True
        self._starts: list[int] = [0]
        self._sums_before: list[int] = [0]
        # The last result of `_sum_before`: position, chunk, offset in the chunk, sum.
        self._last_place: tuple[int, int, int, int] = _NOWHERE
        rest = iter(keys)
        while filled := b"".join(islice(rest, _FILLED_KEYS)):
            self._insert_chunk(len(self._chunks), filled)

    def __len__(self) -> int:
        self._refresh()
        return self._starts[-1]

    def __contains__(self, key: bytes) -> bool:
        number, offset = self._place(key)
        return number >= 0 and self._chunks[number][offset : offset + KEY_BYTES] == key

    def copy(self) -> "RecordIndex":
        """Return an independent copy."""
        other = RecordIndex()
        other._chunks = [chunk.copy() for chunk in self._chunks]
        other._firsts = self._firsts.copy()
        other._sums = self._sums.copy()
        return other

    def digest(self) -> tuple[int, bytes]:
        """Return the number of ids, and their sum mod 2^256 as 32 bytes, little-endian."""
        self._refresh()
        summed = self._sums_before[-1] % _MODULUS
        return self._starts[-1], summed.to_bytes(_ID_BYTES, "little")

    def add(self, key: bytes) -> bool:
        """Add a key and return whether it was new."""
        if not self._chunks:
            self._insert_chunk(0, key)
            return True
        number, offset = self._place(key)
        number = max(number, 0)
        chunk = self._chunks[number]
        if chunk[offset : offset + KEY_BYTES] == key:
            return False
        chunk[offset:offset] = key
        self._sums[number] += _id_number(key)
        self._firsts[number] = bytes(chunk[:KEY_BYTES])
        self._stale = True
        if len(chunk) >= _CHUNK_KEYS * KEY_BYTES:
            self._split(number)
        return True

    def discard(self, key: bytes) -> bool:
        """Remove a key and return whether it was there."""
        number, offset = self._place(key)
        if number < 0 or self._chunks[number][offset : offset + KEY_BYTES] != key:
            return False
        chunk = self._chunks[number]
        del chunk[offset : offset + KEY_BYTES]
        self._sums[number] -= _id_number(key)
        self._stale = True
        if chunk:
            self._firsts[number] = bytes(chunk[:KEY_BYTES])
        else:
            del self._chunks[number], self._sums[number], self._firsts[number]
        return True

    def key(self, position: int) -> bytes:
        """Return the key at a position."""
        number, offset = self._chunk_at(position)
        return bytes(self._chunks[number][offset : offset + KEY_BYTES])

    def position(self, bound: bytes) -> int:
        """Return the number of keys smaller than `bound`, a key or a prefix of one."""
        number, offset = self._place(bound)
        if number < 0:
            return 0
        self._refresh()
        return self._starts[number] + offset // KEY_BYTES

    def ids(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the ids at positions start … stop - 1."""
        for part in self._parts(start, stop):
            for at in range(0, len(part), KEY_BYTES):
                yield bytes(part[at + 8 : at + KEY_BYTES])

    def fingerprint(self, start: int, stop: int) -> bytes:
        """Return the first 16 bytes of sha256(sum of the ids mod 2^256, little-endian + count)."""
        before = self._sum_before(start)
        total = self._sum_before(stop) - before
        summed = (total % _MODULUS).to_bytes(_ID_BYTES, "little")
        return hashlib.sha256(summed + encode_varint(stop - start)).digest()[:FINGERPRINT_BYTES]

    def _sum_before(self, position: int) -> int:
        if self._stale:
            self._refresh()
        last_position, last_number, last_offset, total = self._last_place
        if position == last_position:
            return total
        if position == self._starts[-1]:
            return self._sums_before[-1]
        number, offset = self._chunk_at(position)
        # Consecutive ranges are frequent, so continue from where the last one ended.
        if number != last_number or offset < last_offset:
            last_offset, total = 0, self._sums_before[number]
        if offset > last_offset:
            total += _sum_of(self._chunks[number][last_offset:offset])
        self._last_place = (position, number, offset, total)
        return total

    def _parts(self, start: int, stop: int) -> Iterator[bytearray]:
        if start >= stop:
            return
        number, offset = self._chunk_at(start)
        missing = (stop - start) * KEY_BYTES
        while missing > 0:
            part = self._chunks[number][offset : offset + missing]
            yield part
            missing -= len(part)
            number, offset = number + 1, 0

    def _chunk_at(self, position: int) -> tuple[int, int]:
        """Return the index of the chunk that holds a position, and the byte offset in it."""
        if self._stale:
            self._refresh()
        number = bisect.bisect_right(self._starts, position) - 1
        return number, (position - self._starts[number]) * KEY_BYTES

    def _place(self, key: bytes) -> tuple[int, int]:
        """Return the index of a key's chunk (-1: before all) and its byte offset, stored or not."""
        number = bisect.bisect_right(self._firsts, key) - 1
        if number < 0:
            return -1, 0
        chunk = self._chunks[number]
        low, high = 0, len(chunk) // KEY_BYTES
        while low < high:
            middle = (low + high) // 2
            if chunk[middle * KEY_BYTES : (middle + 1) * KEY_BYTES] < key:
                low = middle + 1
            else:
                high = middle
        return number, low * KEY_BYTES

    def _split(self, number: int) -> None:
        chunk = self._chunks[number]
        half = _CHUNK_KEYS // 2 * KEY_BYTES
        upper = bytes(chunk[half:])
        del chunk[half:]
        self._sums[number] = _sum_of(chunk)
        self._insert_chunk(number + 1, upper)

    def _insert_chunk(self, number: int, keys: bytes) -> None:
        self._chunks.insert(number, bytearray(keys))
        self._firsts.insert(number, keys[:KEY_BYTES])
        self._sums.insert(number, _sum_of(keys))
        self._stale = True

    def _refresh(self) -> None:
        if self._stale:
            sizes = (len(chunk) // KEY_BYTES for chunk in self._chunks)
            self._starts = [*accumulate(sizes, initial=0)]
            self._sums_before = [*accumulate(self._sums, initial=0)]
            self._last_place = _NOWHERE
            self._stale = False


def _sum_of(keys: bytes | bytearray) -> int:
    ids = _layout(len(keys) // KEY_BYTES).unpack(keys)
    return sum(map(_number_of, ids, _LITTLE))


@lru_cache(maxsize=_CHUNK_KEYS + 1)
def _layout(count: int) -> struct.Struct:
    return struct.Struct(f"{KEY_BYTES - _ID_BYTES}x{_ID_BYTES}s" * count)


def _id_number(key: bytes) -> int:
    return int.from_bytes(key[8:], "little")


def encode_varint(number: int) -> bytes:
    """Return the shortest varint of a number from 0 to 2^64 - 1."""
    if number < 0x80:  # most are lengths and modes
        return _DIGITS[number]
    if number < 1 << 14:
        return bytes((0x80 | number >> 7, number & 0x7F))
    if number < 1 << 21:  # time differences of neighbouring records
        return bytes((0x80 | number >> 14, 0x80 | number >> 7 & 0x7F, number & 0x7F))
    digits = bytearray([number & 0x7F])
    while number := number >> 7:
        digits.append(0x80 | number & 0x7F)
    return bytes(reversed(digits))


def decode_varint(data: bytes, at: int) -> tuple[int, int] | Rejected:
    """Return the varint at an offset, and the offset after it."""
    number = 0
    for end in range(at, min(at + _MAX_VARINT_BYTES, len(data))):
        number = number << 7 | data[end] & 0x7F
        if data[end] < 0x80:
            if number >= 1 << 64:
                break
            return number, end + 1
    return Rejected("an incomplete number")
