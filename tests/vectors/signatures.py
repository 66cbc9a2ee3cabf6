"""Print the vectors of signatures, for review only: `python -m tests.vectors.signatures`.

The committed signatures.json is the authority: what it calls a signature stays one for ever. Most
of it are signatures about which libraries disagree, made so that as many as possible accept them:
with points of small order or with a torsion part, second spellings, S from the order on.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from itertools import count
from typing import Final, NamedTuple

from protocol.keys import SigningKey
from tests.vectors.edwards import (
    BASE,
    NEUTRAL,
    TORSION,
    L,
    P,
    Point,
    add,
    encode,
    hashed,
    multiply,
    negative,
    x_of,
)

# Private scalars of ours; RFC 8032's come from a seed and are as good.
KEY: Final = hashed(b"arnode's vectors: key")
NONCE: Final = hashed(b"arnode's vectors: nonce")
_SIGN: Final = 1 << 255


class Case(NamedTuple):
    """A signature and where it fails: at `A`, `R`, `S` or the `equation`; None if it holds."""

    name: str
    public: bytes
    message: bytes
    signature: bytes
    fault: str | None = None


def main() -> None:
    """Print signatures.json."""
    print(json.dumps(vectors(), indent=1, ensure_ascii=False))


def vectors() -> list[dict[str, str | None]]:
    """Return what signatures.json holds."""
    return [
        {
            "name": case.name,
            "public": case.public.hex(),
            "message": case.message.hex(),
            "signature": case.signature.hex(),
            "fault": case.fault,
        }
        for case in (*_good(), *_bad_keys(), *_bad_points(), *_bad_numbers(), *_bad_equations())
    ]


def signature_with(
    r: bytes, public: bytes, message: bytes, *, key: int = KEY, nonce: int = NONCE
) -> bytes:
    """Return the signature for which the equation holds but for what is no multiple of the base."""
    s = (nonce + hashed(r, public, message) * key) % L
    return r + s.to_bytes(32, "little")


def part_of(order: int) -> Point:
    """Return a point of order 1, 2, 4 or 8."""
    return multiply(8 // order, TORSION)


def small_orders() -> list[bytes]:
    """Return all 14 encodings of points of small order, the 8 canonical ones first."""
    canonical = [encode(multiply(number, TORSION)) for number in range(8)]
    with_sign = [(y | _SIGN).to_bytes(32, "little") for y in (1, P - 1)]
    above = [(y | sign).to_bytes(32, "little") for y in (P, P + 1) for sign in (0, _SIGN)]
    return [*canonical, *with_sign, *above]


def _message(fits: Callable[[bytes], bool]) -> bytes:
    """Return the first message that fits: the equation's k is as good as drawn."""
    return next(text for text in (b"message %d" % number for number in count()) if fits(text))


def _good() -> Iterator[Case]:
    for number, size in enumerate((0, 1, 64, 1023, 100, 5)):
        key = SigningKey.from_seed(hashlib.sha256(b"seed %d" % number).digest())
        message = (b"arnode " * size)[:size]
        yield Case(f"{size} bytes", key.public, message, key.sign(message))
    public, r = encode(multiply(KEY, BASE)), encode(multiply(NONCE, BASE))
    yield Case("R drawn at will", public, b"", signature_with(r, public, b""))


def _bad_keys() -> Iterator[Case]:
    r = encode(multiply(NONCE, BASE))
    for public in small_orders():
        message = _message(lambda text, public=public: hashed(r, public, text) % 8 == 0)
        signature = signature_with(r, public, message, key=0)
        yield Case(f"A of small order, {_short(public)}", public, message, signature, "A")
    for order in (2, 4, 8):
        public = encode(add(multiply(KEY, BASE), part_of(order)))
        for rest, name in ((0, "the equation holds"), (1, "eight times the equation holds")):
            message = _message(
                lambda text, public=public, order=order, rest=rest: (
                    hashed(r, public, text) % order == rest
                )
            )
            signature = signature_with(r, public, message)
            yield Case(f"A with a part of order {order}, {name}", public, message, signature, "A")
    both = encode(add(multiply(NONCE, BASE), negative(TORSION)))
    message = _message(lambda text: hashed(both, public, text) % 8 == 1)
    signature = signature_with(both, public, message)
    yield Case("A and R with parts that cancel out", public, message, signature, "A")
    message = _message(lambda text: hashed(encode(TORSION), public, text) % 8 == 7)
    signature = signature_with(encode(TORSION), public, message, nonce=0)
    yield Case("A with a part of order 8, R of order 8", public, message, signature, "A")
    yield Case("A not on the curve", _off_curve(), b"", signature_with(r, _off_curve(), b""), "A")
    again = _spelt_above()
    yield Case("A in a second spelling", again, b"", signature_with(r, again, b""), "A")


def _bad_points() -> Iterator[Case]:
    public = encode(multiply(KEY, BASE))
    for order in (2, 4, 8):
        r = encode(add(multiply(NONCE, BASE), part_of(order)))
        signature = signature_with(r, public, b"R")
        yield Case(f"R with a part of order {order}", public, b"R", signature, "R")
    for r in small_orders():
        signature = signature_with(r, public, b"R", nonce=0)
        yield Case(f"R of small order, {_short(r)}", public, b"R", signature, "R")
    # As if it were hashed in its canonical spelling.
    k = hashed(encode(NEUTRAL), public, b"R")
    for spelt in ((P + 1).to_bytes(32, "little"), (1 | _SIGN).to_bytes(32, "little")):
        signature = spelt + (k * KEY % L).to_bytes(32, "little")
        yield Case(f"R spelt again before hashing, {_short(spelt)}", public, b"R", signature, "R")
    for r, name in ((_off_curve(), "not on the curve"), (_spelt_above(), "in a second spelling")):
        yield Case(f"R {name}", public, b"R", signature_with(r, public, b"R"), "R")


def _bad_numbers() -> Iterator[Case]:
    public, r = encode(multiply(KEY, BASE)), encode(multiply(NONCE, BASE))
    s = int.from_bytes(signature_with(r, public, b"S")[32:], "little")
    for number, name in (
        (s + L, "S + L"),
        (s + 8 * L, "S + 8L"),
        (s + 14 * L, "S + 14L"),
        (s + _SIGN, "S + 2^255"),
        (s + (1 << 253), "S + 2^253"),
    ):
        yield Case(name, public, b"S", r + number.to_bytes(32, "little"), "S")


def _bad_equations() -> Iterator[Case]:
    public, r = encode(multiply(KEY, BASE)), encode(multiply(NONCE, BASE))
    other = encode(multiply(KEY + 1, BASE))
    signature = signature_with(r, public, b"good")
    s = int.from_bytes(signature[32:], "little")
    yield Case("another message", public, b"food", signature, "equation")
    yield Case("another key", other, b"good", signature, "equation")
    yield Case("the key's negative", _negated(public), b"good", signature, "equation")
    yield Case("R's negative", public, b"good", _negated(r) + signature[32:], "equation")
    yield Case("S's negative", public, b"good", r + (L - s).to_bytes(32, "little"), "equation")
    yield Case("S is 0", public, b"good", r + bytes(32), "equation")


def _negated(encoded: bytes) -> bytes:
    return encoded[:31] + bytes([encoded[31] ^ 0x80])


def _off_curve() -> bytes:
    return next(y for y in count(2) if x_of(y) is None).to_bytes(32, "little")


def _spelt_above() -> bytes:
    """Return a point in the spelling that adds p to its y, which only 19 have room for."""
    y = next(y for y in count(2) if x_of(y) is not None)
    return (y + P).to_bytes(32, "little")


def _short(encoded: bytes) -> str:
    return f"{encoded[:2].hex()}…{encoded[-1:].hex()}"


if __name__ == "__main__":
    main()
