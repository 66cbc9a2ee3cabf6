"""Weights that leave a sandbox: raw tensors behind a checked header, never unpickled.

The format is safetensors; its library checks names, shapes, types, offsets and overlap before
anything is read. Only what a reader outside must know is looked at here: is it well formed, is it
small enough, did it diverge (infinities are fine: a causal mask may be stored as such).
"""

import numpy as np
from safetensors import SafetensorError, deserialize

from protocol.errors import Rejected

_FLOATS = {"F64": np.float64, "F32": np.float32, "F16": np.float16}


def check_weights(data: bytes, *, limit_bytes: int) -> Rejected | None:
    """Return why an export is refused; a reason that starts with `nan` means diverged weights."""
    if len(data) > limit_bytes:
        return Rejected(
            f"weights of {len(data) / 1e6:.1f} MB; the task allows {limit_bytes / 1e6:.0f}"
        )
    try:
        tensors = deserialize(data)  # type: ignore[no-untyped-call]
    except (SafetensorError, ValueError) as error:
        return Rejected(f"weights are not well-formed safetensors: {error}")
    for name, tensor in tensors:
        if _has_nan(tensor["dtype"], tensor["data"]):
            return Rejected(f"nan: weight {name[:80]!r} holds what is not a number")
    return None


def _has_nan(dtype: str, data: bytes) -> bool:
    if dtype == "BF16":  # numpy has no bfloat16: all exponent bits set and a mantissa
        bits = np.frombuffer(data, dtype="<u2") & 0x7FFF
        return bool((bits > 0x7F80).any())
    if dtype in _FLOATS:
        return bool(np.isnan(np.frombuffer(data, dtype=_FLOATS[dtype])).any())
    return False  # integers and booleans always are numbers; 8-bit floats show in the claims
