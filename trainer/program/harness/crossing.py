"""Plain data: the values that an imported evaluator and the program that it measures exchange.

None, numbers, text, bytes, lists, tuples, dicts and numpy arrays are plain. Arrays of JAX and torch
are converted to numpy first. Objects, callables and classes are refused, with the value's path in
the message. Both programs treat received bytes as untrusted: `codec` decodes them within limits,
and can build only plain data.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from trainer.program.harness.codec import decode, encode

# Kinds of requests to a program, and kinds of its replies.
LOAD, GET, CALL = "load", "get", "call"
VALUE, CALLABLE, MISSING, REFUSED, RAISED = "value", "callable", "missing", "refused", "raised"

MOST_WORDS: Final = 2000  # characters of a message
MOST_DEPTH: Final = 48  # of a value; a frame adds further levels
_KINDS: Final = frozenset("biufcUS")
_ENCODING: Final = "arrays"
_ARRAYS: Final = frozenset({"jax", "jaxlib", "torch"})  # their arrays become numpy's
_SCALARS: Final = (type(None), bool, int, float, complex, str, bytes)


class NotPlain(TypeError):  # noqa: N818 -- a refusal
    """A value that is not plain data. The message contains its path."""


def packed(value: object) -> bytes:
    """Return the bytes of plain data."""
    return encode(value, _ENCODING)


def unpacked(data: bytes, *, is_finite: bool = True) -> Any:
    """Return the plain data that bytes encode. Raises Undecodable.

    `is_finite` refuses numbers that are not finite. It is for a program's values, whose NaN could
    pass an evaluator's comparisons. An evaluator's own values are not checked.
    """
    return decode(data, _ENCODING, is_finite=is_finite)


def plain(value: object, place: str, *, depth: int = MOST_DEPTH) -> Any:
    """Return a value as plain data. Instances of subclasses become the plain type.

    Raises NotPlain for the first item that is not plain. `place` names the value in its message.
    """
    if type(value) in _SCALARS:
        return value
    if depth == 0:
        raise NotPlain(f"{place} is nested more than {MOST_DEPTH} deep")
    match value:
        case np.ndarray() | np.generic():
            if value.dtype.kind not in _KINDS:
                raise NotPlain(f"{place} is an array of {value.dtype}: pass only plain data")
            return np.asarray(value) if isinstance(value, np.ndarray) else value
        case list() | tuple():
            items = [plain(one, f"{place}[{at}]", depth=depth - 1) for at, one in enumerate(value)]
            return items if isinstance(value, list) else tuple(items)
        case Mapping():
            return {
                plain(key, f"a key of {place}", depth=depth - 1): plain(
                    item, f"{place}[{_short(key)}]", depth=depth - 1
                )
                for key, item in value.items()
            }
        case bytearray() | memoryview():
            return bytes(value)
        case int():
            return int.__index__(value)
        case float():
            return float.__float__(value)
        case str():
            return str.__str__(value)
    if type(value).__module__.partition(".")[0] in _ARRAYS and hasattr(value, "__array__"):
        return plain(np.asarray(value), place, depth=depth - 1)
    raise NotPlain(f"{place} is {_called(value)}: pass only plain data")


def not_finite(value: object, place: str) -> str | None:
    """Return the path of the first number that is not finite, or None."""
    match value:
        case float() | complex():
            is_finite = math.isfinite(value.real) and math.isfinite(value.imag)
            return None if is_finite else place
        case np.ndarray() | np.generic():
            return place if value.dtype.kind in "fc" and not np.isfinite(value).all() else None
        case list() | tuple():
            inner = (not_finite(one, f"{place}[{at}]") for at, one in enumerate(value))
        case dict():
            inner = (not_finite(one, f"{place}[{_short(key)}]") for key, one in value.items())
        case _:
            return None
    return next((one for one in inner if one is not None), None)


def _short(key: object) -> str:
    text = repr(key) if isinstance(key, str | int) else type(key).__name__
    return text if len(text) <= 40 else f"{text[:40]}…"


def _called(value: object) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}"
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
