"""Encodings of instances and answers: `bytes`, `json`, `arrays` or `files`; never pickle.

`arrays` is msgpack with extension types for what JSON lacks: numpy arrays, scipy's sparse matrices
(CSR and CSC), tuples, big and complex numbers, and maps whose keys are not text. `files` maps paths
to contents. A candidate's bytes are decoded within limits in the judge's sandbox, and only finite
numbers are accepted.
"""

import importlib
import json
import math
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

import msgpack
import numpy as np

from trainer.program.harness.files import File, pack_files, unpack_files

_MOST_DEPTH: Final = 64
_ARRAY, _TUPLE, _BIG, _COMPLEX, _MAP, _SCALAR, _SPARSE = 1, 2, 3, 4, 5, 6, 7
_KINDS: Final = frozenset("biufcUS")  # of numbers and of fixed-length text
_SPARSE_TYPES: Final = ("csr_matrix", "csc_matrix", "csr_array", "csc_array")


class Undecodable(ValueError):  # noqa: N818 -- a property of bytes
    """Bytes that do not decode. The message is for the author of the program that sent them."""


def encode(value: object, encoding: str) -> bytes:
    """Return the bytes of a value. Raises TypeError or ValueError if it has no encoding."""
    match encoding:
        case "bytes":
            if not isinstance(value, bytes | bytearray | memoryview):
                raise TypeError(f"a {type(value).__name__} where bytes are expected")
            return bytes(value)
        case "json":
            text = json.dumps(value, allow_nan=False, separators=(",", ":"), default=_plain)
            return text.encode()
        case "files":
            return _encoded_files(value)
    return bytes(msgpack.packb(value, default=_extended, strict_types=True))


def decode(data: bytes, encoding: str, *, is_finite: bool = True) -> Any:
    """Return the value that bytes encode. Raises Undecodable.

    `is_finite` refuses numbers that are not finite. It may be False for a process's own data.
    """
    if encoding == "bytes":
        return data
    try:
        if encoding == "files":
            return _decoded_files(data)
        value = json.loads(data, parse_constant=_refuse) if encoding == "json" else _unpacked(data)
    except Undecodable:
        raise
    except RecursionError as error:
        raise Undecodable("it is nested too deeply") from error
    except Exception as error:
        raise Undecodable(f"it is not {encoding}: {error}") from error
    _check(value, _MOST_DEPTH, is_finite=is_finite)
    return value


def _encoded_files(value: object) -> bytes:
    if not isinstance(value, Mapping):
        raise TypeError(f"a {type(value).__name__} where a dict of contents by path is expected")
    files = [
        File(path=path, data=content.encode() if isinstance(content, str) else bytes(content))
        for path, content in sorted(value.items())
        if isinstance(content, str | bytes | bytearray | memoryview)
    ]
    if len(files) < len(value):
        raise TypeError("a file whose content is neither text nor bytes")
    packed = pack_files(files)
    _decoded_files(packed)  # the reader refuses invalid paths: refuse them here already
    return packed


def _decoded_files(data: bytes) -> dict[str, bytes]:
    files = {PurePosixPath(one.path): one for one in unpack_files(data)}
    if any(not files.keys().isdisjoint(path.parents) for path in files):
        raise Undecodable("a path is both a file and a folder")
    return {one.path: one.data for one in files.values()}


def _plain(value: object) -> object:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} cannot be encoded as JSON")


def _refuse(constant: str) -> object:
    raise Undecodable(f"{constant} is not a JSON number")


def _check(value: Any, depth: int, *, is_finite: bool) -> None:
    if depth == 0:
        raise Undecodable("it is nested too deeply")
    match value:
        case float() | complex():
            if is_finite and not (math.isfinite(value.real) and math.isfinite(value.imag)):
                raise Undecodable("it holds a number that is not finite")
        case np.ndarray() | np.generic():
            if is_finite and value.dtype.kind in "fc" and not np.isfinite(value).all():
                raise Undecodable("it holds a number that is not finite")
        case list() | tuple():
            for item in value:
                _check(item, depth - 1, is_finite=is_finite)
        case dict():
            for key, item in value.items():
                _check(key, depth - 1, is_finite=is_finite)
                _check(item, depth - 1, is_finite=is_finite)
        case None | int() | str() | bytes():
            pass
        case _ if _is_sparse(value):
            _check(value.data, depth - 1, is_finite=is_finite)
        case _:  # for example msgpack's timestamp
            raise Undecodable(f"it holds a {type(value).__name__}")


def _extended(value: Any) -> msgpack.ExtType:
    match value:
        case np.generic():
            return msgpack.ExtType(_SCALAR, _array_bytes(np.asarray(value)))
        case np.ndarray():
            return msgpack.ExtType(_ARRAY, _array_bytes(value))
        case tuple():
            return msgpack.ExtType(_TUPLE, encode(list(value), "arrays"))
        case int():
            return msgpack.ExtType(_BIG, f"{value:x}".encode())
        case complex():
            return msgpack.ExtType(_COMPLEX, encode([value.real, value.imag], "arrays"))
        case dict() | Mapping():
            pairs = [[key, item] for key, item in value.items()]
            return msgpack.ExtType(_MAP, encode(pairs, "arrays"))
        case _ if _is_sparse(value):
            return msgpack.ExtType(_SPARSE, encode(_sparse_parts(value), "arrays"))
    raise TypeError(f"a {type(value).__name__} cannot be sent")


def _array_bytes(array: np.ndarray[Any, Any]) -> bytes:
    if array.dtype.kind not in _KINDS:
        raise TypeError(f"an array of {array.dtype} cannot be sent")
    return encode([array.dtype.str, list(array.shape), array.tobytes()], "arrays")


def _unpacked(data: bytes, depth: int = _MOST_DEPTH) -> Any:
    if depth == 0:
        raise Undecodable("it is nested too deeply")

    def extended(code: int, body: bytes) -> object:
        inner: Callable[[bytes], Any] = lambda packed: _unpacked(packed, depth - 1)  # noqa: E731
        match code:
            case 1 | 6:
                return _array(*inner(body), is_scalar=code == _SCALAR)
            case 2:
                return tuple(inner(body))
            case 3:
                return int(body, 16)
            case 4:
                return complex(*inner(body))
            case 5:
                return {key: item for key, item in inner(body)}  # noqa: C416 -- checks pairs
            case 7:
                return _sparse(*inner(body))
        raise Undecodable(f"type {code} is unknown")

    return msgpack.unpackb(data, ext_hook=extended, strict_map_key=False)


def _array(kind: str, shape: list[int], data: bytes, *, is_scalar: bool) -> Any:
    dtype = np.dtype(kind)
    if dtype.kind not in _KINDS:
        raise Undecodable(f"an array of {kind}")
    array = np.frombuffer(data, dtype=dtype).reshape(shape).copy()
    return array[()] if is_scalar else array


def _is_sparse(value: object) -> bool:
    kind = type(value)
    return kind.__module__.startswith("scipy.sparse.") and kind.__name__ in _SPARSE_TYPES


def _sparse_parts(matrix: Any) -> list[object]:
    parts = (matrix.data, matrix.indices, matrix.indptr)
    return [type(matrix).__name__, list(matrix.shape), *parts]


def _sparse(kind: str, shape: list[int], *parts: Any) -> Any:
    """Return a sparse matrix without duplicates. The task must require scipy."""
    if kind not in _SPARSE_TYPES or len(shape) != 2:
        raise Undecodable(f"a sparse matrix that is a {kind!r} of {len(shape)} dimensions")
    for part, kinds in zip(parts, ("biufc", "i", "i"), strict=True):
        if not (isinstance(part, np.ndarray) and part.ndim == 1 and part.dtype.kind in kinds):
            raise Undecodable("a sparse matrix whose parts are not flat arrays of numbers")
    matrix = getattr(importlib.import_module("scipy.sparse"), kind)(parts, shape=tuple(shape))
    matrix.check_format(full_check=True)
    matrix.sum_duplicates()
    return matrix
