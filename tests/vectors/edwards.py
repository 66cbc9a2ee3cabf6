"""The curve of Ed25519 in whole numbers, as docs/protocol.md and RFC 8032 have it.

For the vectors and their tests alone: it can make points and signatures that no library makes. It
is slow, and its running time reveals the factor.
"""

import hashlib
from typing import Final

P: Final = 2**255 - 19
L: Final = 2**252 + 27742317777372353535851937790883648493
COFACTOR: Final = 8
_D: Final = -121665 * pow(121666, -1, P) % P
_ROOT_OF_MINUS_1: Final = pow(2, (P - 1) // 4, P)

Point = tuple[int, int]

NEUTRAL: Final[Point] = (0, 1)


def add(one: Point, other: Point) -> Point:
    """Return the sum of two points."""
    (x1, y1), (x2, y2) = one, other
    product = _D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P
    return x, y


def multiply(scalar: int, point: Point) -> Point:
    """Return a point added up `scalar` times, from 0."""
    total = NEUTRAL
    for digit in f"{scalar:b}":
        total = add(total, total)
        if digit == "1":
            total = add(total, point)
    return total


def negative(point: Point) -> Point:
    """Return what adds up with a point to the neutral element."""
    return -point[0] % P, point[1]


def encode(point: Point) -> bytes:
    """Return a point's one canonical encoding."""
    x, y = point
    return (y | (x & 1) << 255).to_bytes(32, "little")


def decode(encoded: bytes) -> Point | None:
    """Return the point with this canonical encoding, or None."""
    number = int.from_bytes(encoded, "little")
    y, sign = number & (2**255 - 1), number >> 255
    x = x_of(y)
    if y >= P or x is None or (x == 0 and sign):
        return None
    return (x if x & 1 == sign else P - x), y


def x_of(y: int) -> int | None:
    """Return an x for which (x, y) is on the curve, or None."""
    square = (y * y - 1) * pow(_D * y * y + 1, -1, P) % P
    root = pow(square, (P + 3) // 8, P)
    candidates = (root, root * _ROOT_OF_MINUS_1 % P)
    return next((x for x in candidates if x * x % P == square), None)


def is_of_prime_order(point: Point) -> bool:
    """Return whether a point is a multiple of the base, without the neutral element."""
    return point != NEUTRAL and multiply(L, point) == NEUTRAL


def hashed(*parts: bytes) -> int:
    """Return the scalar that a signature's equation takes the key times."""
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % L


def fault_of(public: bytes, message: bytes, signature: bytes) -> str | None:
    """Return at which step a signature fails, or None if it holds: docs/protocol.md, literally."""
    if len(public) != 32 or len(signature) != 64:
        return "lengths"
    key, r, s = decode(public), decode(signature[:32]), int.from_bytes(signature[32:], "little")
    if key is None or not is_of_prime_order(key):
        return "A"
    if r is None or not is_of_prime_order(r):
        return "R"
    if s >= L:
        return "S"
    k = hashed(signature[:32], public, message)
    return None if multiply(s, BASE) == add(r, multiply(k, key)) else "equation"


def _base() -> Point:
    point = decode((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
    assert point is not None
    return point


def _of_order_8() -> Point:
    """Return a point of order 8: what is left of any point without its multiple of the base."""
    for y in range(2, P):
        x = x_of(y)
        if x is not None:
            rest = multiply(L, (x, y))
            if multiply(COFACTOR // 2, rest) != NEUTRAL:
                return rest
    raise AssertionError("half of all points have one")


BASE: Final = _base()
TORSION: Final = _of_order_8()
