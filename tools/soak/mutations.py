"""Invalid frames, made by mutating those that honest nodes send. Seeded, no I/O."""

import random
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgpack

from protocol.framing import LENGTH

Change = Callable[[random.Random, bytes], bytes]
_ODD: Final[tuple[Any, ...]] = (
    None, True, -1, 0, 1, 2**53, 2**64 - 1, -(2**63), 0.5, float("nan"), float("inf"),
    "", "x" * 300, "\x00\x1b[2J", "\U0001f642" * 300, b"", b"\xff" * 32, bytes(31), bytes(5_000),
    [], {}, [[]], {"": None},
)  # fmt: skip


class Mutator:
    """A maker of mutated frames. `payloads` are valid ones, without their length prefix."""

    def __init__(self, payloads: Sequence[bytes]) -> None:
        self._payloads = payloads

    def frame(self, chance: random.Random) -> bytes:
        """Return a frame with its length prefix, which may be wrong."""
        data = self.payload(chance)
        roll = chance.random()
        if roll < 0.9:
            return LENGTH.pack(len(data)) + data
        if roll < 0.95:
            lie = chance.choice((0, 1, len(data) - 1, len(data) + 1, 2 * len(data), 2**32 - 1))
            return LENGTH.pack(max(0, lie)) + data
        whole = LENGTH.pack(len(data)) + data
        return whole[: chance.randrange(len(whole))]

    def payload(self, chance: random.Random) -> bytes:
        """Return a payload without length prefix. One in twenty is valid."""
        data = chance.choice(self._payloads)
        roll = chance.random()
        if roll < 0.05:
            return data
        if roll < 0.5:
            return _packed(_swapped(chance, msgpack.unpackb(data)), data)
        if roll < 0.55:
            other = chance.choice(self._payloads)
            return data[: chance.randrange(len(data))] + other[chance.randrange(len(other)) :]
        for _ in range(chance.choice((1, 1, 1, 2, 8))):
            data = chance.choice(_CHANGES)(chance, data or b"\x80")
        return data


def _swapped(chance: random.Random, value: Any) -> Any:
    """Return a value with one of its parts replaced, omitted, doubled or nested."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice([*value])
        changed = {**value, key: _swapped(chance, value[key])}
        roll = chance.random()
        if roll < 0.1:
            del changed[key]
        elif roll < 0.2:
            changed[chance.choice(("", "x", "next", "limit", "v" * 100))] = chance.choice(_ODD)
        return changed
    if isinstance(value, list) and value and chance.random() < 0.8:
        at = chance.randrange(len(value))
        if chance.random() < 0.1:
            return value * chance.choice((2, 20))
        return [*value[:at], _swapped(chance, value[at]), *value[at + 1 :]]
    roll = chance.random()
    if isinstance(value, bytes) and value and roll < 0.5:
        return flipped(chance, value)
    if isinstance(value, int) and roll < 0.5:
        return value + chance.choice((-1, 1, 513, 2**20))
    if roll < 0.95:
        return chance.choice(_ODD)
    for _ in range(chance.choice((1, 8, 200))):
        value = [value]
    return value


def _packed(value: Any, otherwise: bytes) -> bytes:
    try:
        packed: bytes = msgpack.packb(value)
    except (OverflowError, ValueError):  # a number that msgpack cannot encode
        return otherwise
    return packed


def flipped(chance: random.Random, data: bytes) -> bytes:
    """Return the bytes with one bit changed."""
    changed = bytearray(data)
    changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _cut(chance: random.Random, data: bytes) -> bytes:
    return data[: chance.randrange(len(data))]


def _lengthened(chance: random.Random, data: bytes) -> bytes:
    return data + chance.randbytes(chance.choice((1, 16, 4_000)))


def _overwritten(chance: random.Random, data: bytes) -> bytes:
    at = chance.randrange(len(data))
    odd = chance.choice(
        (b"\xc1", b"\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xc7\x00\x05", b"\x80")
    )
    return data[:at] + odd + data[at + len(odd) :]


def _doubled(chance: random.Random, data: bytes) -> bytes:
    """Return the bytes with a part of them doubled. In a map this often doubles a key."""
    start = chance.randrange(len(data))
    stop = min(len(data), start + chance.choice((1, 8, 64)))
    return data[:stop] + data[start:]


def _nested(chance: random.Random, data: bytes) -> bytes:
    return b"\x91" * chance.choice((1, 15, 16, 1_023, 1_024, 1_025, 20_000)) + data


def _multiplied(chance: random.Random, data: bytes) -> bytes:
    """Return a container of many empty ones. Each takes a byte here, and 64 in memory."""
    count = chance.choice((100, 4_095, 4_096, 60_000))
    return b"\xdd" + count.to_bytes(4, "big") + chance.choice((b"\x80", b"\x90", b"\xa0")) * count


_ALWAYS: Final[tuple[Change, ...]] = (flipped, _lengthened, _overwritten, _doubled)
# The last three are drawn rarely, since their frames are long.
_CHANGES: Final[tuple[Change, ...]] = (*_ALWAYS * 12, *[_cut] * 6, _nested, _nested, _multiplied)
