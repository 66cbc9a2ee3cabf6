"""Variable-length integers as negentropy writes them: base 128, the most significant digit first.

All bytes but the last have their high bit set.
"""

from typing import Final

from protocol.errors import Rejected

MAX_BYTES: Final = 10  # of 64 bits
_DIGITS: Final = tuple(bytes([number]) for number in range(0x80))


def encode_varint(number: int) -> bytes:
    """Return the shortest encoding of a number from 0 to 2^64 - 1."""
    if number < 0x80:  # most are lengths and modes
        return _DIGITS[number]
    if number < 1 << 14:
        return bytes((0x80 | number >> 7, number & 0x7F))
    if number < 1 << 21:  # times of records that follow one another
        return bytes((0x80 | number >> 14, 0x80 | number >> 7 & 0x7F, number & 0x7F))
    digits = bytearray([number & 0x7F])
    while number := number >> 7:
        digits.append(0x80 | number & 0x7F)
    return bytes(reversed(digits))


def decode_varint(data: bytes, at: int) -> tuple[int, int] | Rejected:
    """Return the number that begins at an offset, and the offset behind it."""
    number = 0
    for end in range(at, min(at + MAX_BYTES, len(data))):
        number = number << 7 | data[end] & 0x7F
        if data[end] < 0x80:
            if number >= 1 << 64:
                break
            return number, end + 1
    return Rejected("a number that does not end within its bytes")
