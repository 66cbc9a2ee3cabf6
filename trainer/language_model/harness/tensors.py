"""Weights as safetensors: a JSON header of names, types, shapes and offsets, then raw bytes.

The format is huggingface's (safetensors, "Format"). Data from another sandbox is checked by
`trainer.language_model.weights` before it is read here.
"""

import json
import struct
from collections.abc import Mapping
from typing import Any

import torch

_LENGTH = struct.Struct("<Q")
_ALIGNMENT = 8
_NAMES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8",
    torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
_TYPES = {name: dtype for dtype, name in _NAMES.items()}


def save(state: Mapping[str, torch.Tensor]) -> bytes:
    """Return a state dict as safetensors.

    Raises TypeError for a dtype that the format has no name for.
    """
    # Large elements come first, so that each tensor is aligned for its type.
    ordered = sorted(state.items(), key=lambda named: -named[1].element_size())
    header: dict[str, object] = {}
    parts: list[memoryview] = []
    end = 0
    for name, tensor in ordered:
        if tensor.dtype not in _NAMES:
            raise TypeError(f"weight {name!r} has type {tensor.dtype}, which cannot be exported")
        flat = tensor.detach().to("cpu").contiguous().view(-1)
        parts.append(flat.view(torch.uint8).numpy().data)
        start, end = end, end + parts[-1].nbytes
        header[name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return b"".join([_LENGTH.pack(len(text)), text, *parts])


def load(data: Any) -> dict[str, torch.Tensor]:
    """Return the tensors in a writable buffer, as views of it."""
    (length,) = _LENGTH.unpack_from(data)
    begin = _LENGTH.size + length
    header = json.loads(bytes(data[_LENGTH.size : begin]))
    tensors = {}
    for name, entry in header.items():
        dtype, shape, (start, end) = _TYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
        if start == end:
            tensors[name] = torch.empty(shape, dtype=dtype)
            continue
        count = (end - start) // dtype.itemsize
        flat = torch.frombuffer(data, dtype=dtype, count=count, offset=begin + start)
        tensors[name] = flat.view(shape)
    return tensors
