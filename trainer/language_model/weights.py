"""Checks the weights that a sandbox exports: raw tensors after a header, never unpickled.

The format is safetensors (huggingface/safetensors, "Format"). The check covers only what a reader
relies on: the file is well formed, is small enough and holds no NaN. Infinities are fine, since a
causal mask may be stored with them.
"""

import json
import math
import struct
from collections.abc import Iterator

import numpy as np

from protocol.errors import Rejected

_FLOATS = {"F64": np.float64, "F32": np.float32, "F16": np.float16}
_ITEM_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1,
    "BOOL": 1,
}  # fmt: skip
_LENGTH = struct.Struct("<Q")
MAX_HEADER_BYTES = 1 << 20
_MAX_SIDE = 1 << 48


class _MalformedError(ValueError):
    """The reason bytes are not valid safetensors."""


def check_weights(data: bytes, *, limit_bytes: int) -> Rejected | None:
    """Return the reason exported weights are rejected; None if they are valid.

    A reason that starts with `nan` means that the training diverged.
    """
    if len(data) > limit_bytes:
        return Rejected(
            f"weights of {len(data) / 1e6:.1f} MB; the task allows {limit_bytes / 1e6:.0f}"
        )
    try:
        for name, dtype, part in _tensors(data):
            if _has_nan(dtype, part):
                return Rejected(f"nan: weight {name[:80]!r} contains NaN")
    except _MalformedError as error:
        return Rejected(f"weights are not well-formed safetensors: {error}")
    return None


def _tensors(data: bytes) -> Iterator[tuple[str, str, memoryview]]:
    """Yield name, type and bytes of each tensor. Raises _MalformedError before the first one."""
    if len(data) < _LENGTH.size:
        raise _MalformedError("there is no header")
    (length,) = _LENGTH.unpack_from(data)
    begin = _LENGTH.size + length
    if length > MAX_HEADER_BYTES or begin > len(data):
        raise _MalformedError(f"its header has {length} bytes")
    entries = sorted(_entries(data[_LENGTH.size : begin]), key=lambda entry: entry[2:])
    at = 0
    for _, _, start, end in entries:  # tensors must cover the data without gap or overlap
        if start != at:
            raise _MalformedError("its tensors have gaps or overlap")
        at = end
    if at != len(data) - begin:
        raise _MalformedError("its tensors do not end where its data end")
    everything = memoryview(data)
    for name, dtype, start, end in entries:
        yield name, dtype, everything[begin + start : begin + end]


def _entries(header: bytes) -> Iterator[tuple[str, str, int, int]]:
    try:
        pairs = json.loads(header, object_pairs_hook=tuple)
    except (ValueError, RecursionError) as error:
        raise _MalformedError("its header is not JSON") from error
    if not isinstance(pairs, tuple) or len({name for name, _ in pairs}) < len(pairs):
        raise _MalformedError("its header is not a map with distinct names")
    for name, entry in pairs:
        if not isinstance(entry, tuple) or len(entry) != 3:
            raise _MalformedError("a tensor does not have exactly three fields")
        fields = dict(entry)
        dtype, shape, offsets = (fields.get(key) for key in ("dtype", "shape", "data_offsets"))
        if not isinstance(dtype, str) or dtype not in _ITEM_BYTES:
            raise _MalformedError("a tensor has an unknown type")
        sides, place = _whole_numbers(shape), _whole_numbers(offsets)
        if sides is None or place is None or len(place) != 2:
            raise _MalformedError("a tensor has an invalid shape or invalid offsets")
        start, end = place
        if end - start != math.prod(sides) * _ITEM_BYTES[dtype]:
            raise _MalformedError("a tensor's length does not match its shape")
        yield name, dtype, start, end


def _whole_numbers(value: object) -> list[int] | None:
    if isinstance(value, list) and all(type(one) is int and 0 <= one < _MAX_SIDE for one in value):
        return value
    return None


def _has_nan(dtype: str, data: memoryview) -> bool:
    if dtype == "BF16":  # numpy has no bfloat16. NaN: all exponent bits set, mantissa not zero
        bits = np.frombuffer(data, dtype="<u2") & 0x7FFF
        return bool((bits > 0x7F80).any())
    if dtype in _FLOATS:
        return bool(np.isnan(np.frombuffer(data, dtype=_FLOATS[dtype])).any())
    return False  # integers and booleans are never NaN; NaN in 8-bit floats shows in the claims
