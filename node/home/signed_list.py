"""A list that somebody signs: one text, which people can read, and which has one writing only.

    arnode-peers 1
    network lab
    written 2026-11-26T06:00:00Z
    …                                        the items, sorted, each once
    signature …                              128 hex digits, by Ed25519, of all that is above

What a list is of says its first line, whose it is its second. What an item means is for others to
judge. Pure: it knows no clock and no place.
"""

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from protocol.errors import Rejected
from protocol.keys import SigningKey, verify

MAX_BYTES: Final = 1 << 16
AHEAD_S: Final = 86_400  # of the reader's clock

_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
_SIGNATURE: Final = re.compile(r"signature [0-9a-f]{128}")
_EXCERPT: Final = 80  # characters of what is wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class ListKind:
    """What a list is of: its first line, what is signed before the text, and its items' names.

    `most`: so many items at most.
    """

    header: str
    context: bytes
    items: str
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedList:
    """A list and its signature, which `read_signed` has verified and `signed` made.

    `of` is its second line; `written_s`: seconds since 1970; `items`: sorted, each once.
    """

    kind: ListKind
    of: str
    written_s: int
    items: tuple[str, ...]
    signature: bytes

    def text(self) -> bytes:
        """Return what is published."""
        text = _signed_part(self.kind, self.of, self.written_s, self.items)
        return text + f"signature {self.signature.hex()}\n".encode()


def signed(
    kind: ListKind, of: str, items: Iterable[str], *, key: SigningKey, written_s: int
) -> SignedList:
    """Return a list of 1 to `kind.most` items, signed."""
    ordered = tuple(sorted(set(items)))
    signature = key.sign(kind.context + _signed_part(kind, of, written_s, ordered))
    return SignedList(kind=kind, of=of, written_s=written_s, items=ordered, signature=signature)


def read_signed(
    kind: ListKind, data: bytes, *, of: str, key: bytes, whose: str, now_s: float
) -> SignedList | Rejected:
    """Return the list that `key` signed, or the first thing that is wrong with it.

    `whose`: what names that key where it was given.
    """
    if len(data) > MAX_BYTES:
        return Rejected(f"it has more than {MAX_BYTES} bytes")
    if not data.isascii():
        return Rejected("it is no ASCII text")
    *lines, end = data.decode("ascii").split("\n")
    if end or len(lines) < 4:
        return Rejected("it is no whole list, which has four lines and more, each with an end")
    header, named, written, *items, signature = lines
    if header != kind.header:
        return Rejected(f"it begins with {header[:_EXCERPT]!r}, not with {kind.header!r}")
    if named != of:
        return Rejected(f"its second line is {named[:_EXCERPT]!r}, not {of!r}")
    written_s = _time(written.removeprefix("written "))
    if written_s is None or not written.startswith("written "):
        return Rejected(f"its third line is {written[:_EXCERPT]!r}, not 'written' and a time")
    if not _SIGNATURE.fullmatch(signature):
        return Rejected("its last line is no signature of 128 hex digits")
    if not 1 <= len(items) <= kind.most:
        return Rejected(f"it has {len(items)} {kind.items}, not 1 to {kind.most}")
    if items != sorted(set(items)):
        return Rejected(f"its {kind.items} are not sorted, or one is there twice")
    read = SignedList(
        kind=kind,
        of=of,
        written_s=written_s,
        items=tuple(items),
        signature=bytes.fromhex(signature.removeprefix("signature ")),
    )
    text = _signed_part(kind, of, written_s, items)
    if not verify(key, kind.context + text, read.signature):
        return Rejected(f"its signature is not that of {whose}")
    if written_s > now_s + AHEAD_S:
        return Rejected(f"it was written at {told_time(written_s)}, more than a day ahead")
    return read


def told_time(at_s: int) -> str:
    """Return a time as a list tells it: 2026-11-26T06:00:00Z."""
    return dt.datetime.fromtimestamp(at_s, dt.UTC).strftime(_TIME)


def _signed_part(kind: ListKind, of: str, written_s: int, items: Iterable[str]) -> bytes:
    lines = (kind.header, of, f"written {told_time(written_s)}", *items)
    return "".join(f"{line}\n" for line in lines).encode()


def _time(text: str) -> int | None:
    """Return the seconds since 1970 of a time in its one writing, else None."""
    try:
        at_s = int(dt.datetime.strptime(text, _TIME).replace(tzinfo=dt.UTC).timestamp())
    except ValueError:
        return None
    return at_s if told_time(at_s) == text else None
