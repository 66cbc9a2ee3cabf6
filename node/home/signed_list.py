"""A signed list: a text that people can read, with exactly one encoding.

    arnode-peers 1
    network lab
    written 2026-11-26T06:00:00Z
    …                                        the items, sorted, each once
    signature …                              128 hex digits, by Ed25519, of everything above

The first line names the kind of list, the second one its subject. Callers interpret the items.
This module is pure: it uses no clock and no files.
"""

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from protocol.errors import Rejected
from protocol.keys import SigningKey, verify

MAX_BYTES: Final = 1 << 16
AHEAD_S: Final = 86_400  # how far a list's time may be ahead of the reader's clock

_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
_SIGNATURE: Final = re.compile(r"signature [0-9a-f]{128}")
_EXCERPT: Final = 80  # characters of an invalid line that an error shows


@dataclass(frozen=True, slots=True, kw_only=True)
class ListKind:
    """A kind of list: its first line, the signature's context, and the name of its items.

    `context` is prepended to the text before it is signed. `most`: the most items in a list.
    """

    header: str
    context: bytes
    items: str
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedList:
    """A list with its signature, verified by `read_signed` or made by `signed`.

    `of`: its second line, which names its subject; `written_s`: the time of its third line, in
    seconds since 1970; `items`: sorted, each once.
    """

    kind: ListKind
    of: str
    written_s: int
    items: tuple[str, ...]
    signature: bytes

    def text(self) -> bytes:
        """Return the text to publish."""
        text = _signed_part(self.kind, self.of, self.written_s, self.items)
        return text + f"signature {self.signature.hex()}\n".encode()


def signed(
    kind: ListKind, of: str, items: Iterable[str], *, key: SigningKey, written_s: int
) -> SignedList:
    """Return a signed list of 1 to `kind.most` items."""
    ordered = tuple(sorted(set(items)))
    signature = key.sign(kind.context + _signed_part(kind, of, written_s, ordered))
    return SignedList(kind=kind, of=of, written_s=written_s, items=ordered, signature=signature)


def read_signed(
    kind: ListKind, data: bytes, *, of: str, key: bytes, whose: str, now_s: float
) -> SignedList | Rejected:
    """Return the list that `key` signed, or the first reason it is invalid.

    `whose`: a name for the owner of that key, for the error.
    """
    if len(data) > MAX_BYTES:
        return Rejected(f"it has more than {MAX_BYTES} bytes")
    if not data.isascii():
        return Rejected("it is not ASCII text")
    *lines, end = data.decode("ascii").split("\n")
    if end or len(lines) < 4:
        return Rejected("it is incomplete: a list has at least four lines, each with a newline")
    header, named, written, *items, signature = lines
    if header != kind.header:
        return Rejected(f"it begins with {header[:_EXCERPT]!r}, not with {kind.header!r}")
    if named != of:
        return Rejected(f"its second line is {named[:_EXCERPT]!r}, not {of!r}")
    written_s = _time(written.removeprefix("written "))
    if written_s is None or not written.startswith("written "):
        return Rejected(f"its third line is {written[:_EXCERPT]!r}, not 'written' and a time")
    if not _SIGNATURE.fullmatch(signature):
        return Rejected("its last line is not a signature of 128 hex digits")
    if not 1 <= len(items) <= kind.most:
        return Rejected(f"it has {len(items)} {kind.items}, not 1 to {kind.most}")
    if items != sorted(set(items)):
        return Rejected(f"its {kind.items} are not sorted, or one appears twice")
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
        return Rejected(f"it was written at {iso_time(written_s)}, more than a day in the future")
    return read


def iso_time(at_s: int) -> str:
    """Return a time as signed lists write it: 2026-11-26T06:00:00Z."""
    return dt.datetime.fromtimestamp(at_s, dt.UTC).strftime(_TIME)


def _signed_part(kind: ListKind, of: str, written_s: int, items: Iterable[str]) -> bytes:
    lines = (kind.header, of, f"written {iso_time(written_s)}", *items)
    return "".join(f"{line}\n" for line in lines).encode()


def _time(text: str) -> int | None:
    """Return the seconds since 1970 of a time in the form of `iso_time`; None for other forms."""
    try:
        at_s = int(dt.datetime.strptime(text, _TIME).replace(tzinfo=dt.UTC).timestamp())
    except ValueError:
        return None
    return at_s if iso_time(at_s) == text else None
