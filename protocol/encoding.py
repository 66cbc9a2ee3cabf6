"""Canonical msgpack: each value has exactly one encoding, on every machine and for ever.

The types are nil, bool, int, str, bin, array and map. There are no floats (their mean depends on
the order) and no extension types. `encode` is for this node's own values and raises if they have
no canonical form. `decode` is for untrusted bytes and returns a `Rejected` instead. This module
does not know records, but it sets the limits that bound the work of reading one.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Final, TypeAlias

import msgpack

from protocol.errors import ArnodeError, Rejected

Value: TypeAlias = bool | int | str | bytes | list["Value"] | dict[str, "Value"] | None

LIMIT_BYTES: Final = 16_384  # a record on the wire, signature included
MAX_DEPTH: Final = 6  # nested containers; [] has depth 1
MAX_ITEMS: Final = 512  # in one array or map
MAX_INT: Final = 2**53 - 1  # the largest that JavaScript represents exactly

_NOT_CANONICAL = "not in canonical form"
_KEY = re.compile(r"[a-z0-9_]{1,24}")
_SURROGATE = re.compile("[\ud800-\udfff]")
# Raised by msgpack on invalid bytes; UnpackException is not a ValueError.
_UNPACK_ERRORS = (ValueError, TypeError, OverflowError, msgpack.exceptions.UnpackException)


class EncodingError(ArnodeError):
    """A value of this node's own that has no canonical encoding or breaks a field's limit."""


def encode(value: Value) -> bytes:
    """Return the canonical encoding of `value`; map keys may be in any order.

    Raises:
        EncodingError: the value has no canonical encoding.
    """
    ordered = _sorted(value)
    fault = _fault(ordered)
    if fault is not None:
        raise EncodingError(f"a value has no canonical encoding: {fault}", "change that value")
    return _pack(ordered)


def decode(data: bytes, *, limit_bytes: int = LIMIT_BYTES) -> Value | Rejected:
    """Return the value that `data` encodes canonically, or the reason it is invalid."""
    if len(data) > limit_bytes:
        return Rejected(f"{len(data)} bytes, more than {limit_bytes}")
    try:
        # These limits are checked before any memory is allocated for a length in a header.
        value: Value = msgpack.unpackb(
            data,
            raw=False,
            use_list=True,
            strict_map_key=True,
            max_str_len=limit_bytes,
            max_bin_len=limit_bytes,
            max_array_len=MAX_ITEMS,
            max_map_len=MAX_ITEMS,
            max_ext_len=64,
        )
    except _UNPACK_ERRORS:
        return Rejected("not msgpack within the limits")
    fault = _fault(value)
    if fault is not None:
        return Rejected(fault)
    # Catches duplicate keys, and numbers or lengths written in too many bytes.
    return value if _pack(value) == data else Rejected(_NOT_CANONICAL)


def _pack(value: Value) -> bytes:
    return bytes(msgpack.packb(value, use_bin_type=True, strict_types=True))


def _sorted(value: Value) -> Value:
    # Keys are ASCII, so sorting the strings sorts their bytes; `_fault` rejects other keys.
    if type(value) is dict:
        return {key: _sorted(value[key]) for key in sorted(value, key=str)}
    if type(value) is list:
        return [_sorted(item) for item in value]
    return value


def _fault(value: object) -> str | None:
    """Return why `value` has no canonical form or its keys are out of order, or None."""
    kind = type(value)
    if kind is list or kind is dict:
        return _container_fault(value, depth=1)  # type: ignore[arg-type]
    return _scalar_fault(value)


def _scalar_fault(value: object) -> str | None:
    """Return the reason why `value` is not a valid nil, bool, int, text or bytes, or None.

    Types are compared exactly, because bool is a subclass of int, and msgpack encodes timestamps
    and subclasses of str in another way than their base types.
    """
    kind = type(value)
    if kind is int:
        return None if -MAX_INT <= value <= MAX_INT else "a number of 2^53 or more"  # type: ignore[operator]
    if kind is str:
        return _text_fault(value)  # type: ignore[arg-type]
    if value is None or kind is bool or kind is bytes:
        return None
    return f"a value of type {kind.__name__}"


def _container_fault(value: list[object] | dict[object, object], *, depth: int) -> str | None:
    if depth > MAX_DEPTH:
        return f"nested deeper than {MAX_DEPTH}"
    if len(value) > MAX_ITEMS:
        return f"more than {MAX_ITEMS} items in a container"
    items = value
    if type(value) is dict:
        if (fault := _keys_fault(tuple(value))) is not None:
            return fault
        items = value.values()  # type: ignore[assignment]
    for item in items:
        kind = type(item)
        # A fast path for the most frequent items, which are valid.
        if kind is bytes or (kind is int and -MAX_INT <= item <= MAX_INT):  # type: ignore[operator]
            continue
        if kind is list or kind is dict:
            fault = _container_fault(item, depth=depth + 1)  # type: ignore[arg-type]
        else:
            fault = _scalar_fault(item)
        if fault is not None:
            return fault
    return None


@lru_cache(maxsize=128)  # a few dozen sets of keys are most; a large one takes 40 KB
def _keys_fault(keys: tuple[object, ...]) -> str | None:
    last = ""
    for key in keys:
        if type(key) is not str or not _KEY.fullmatch(key):
            return "a map key that is not [a-z0-9_]{1,24}"
        if key <= last:
            return _NOT_CANONICAL
        last = key
    return None


def _text_fault(text: str) -> str | None:
    if text.isascii():
        return None
    if _SURROGATE.search(text):
        return "text with a lone surrogate"
    return None if is_normal(text) else "text that is not NFC"


def is_normal(text: str) -> bool:
    """Return True if `text` is NFC, with the same answer on every version of Python.

    Validity must not change with an upgrade, but each version of Unicode assigns new combining
    marks. Normalisation of assigned characters is stable (UAX #15, section 3). So characters
    unknown to Unicode 3.2, whose frozen database comes with Python, count as plain letters here.
    """
    if text.isascii():
        return True
    known = unicodedata.ucd_3_2_0.category
    pinned = "".join("\ufffd" if known(character) == "Cn" else character for character in text)
    return unicodedata.is_normalized("NFC", pinned)
