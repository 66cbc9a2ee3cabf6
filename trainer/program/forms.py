"""How an answer's bytes read as values that can be changed, and how a changed one is written.

What is written here may be what no honest program writes: NaN, for one, is no JSON. A form that
does not give the same bytes' worth back is no form of that answer.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from trainer.program.harness.codec import Undecodable, decode, encode

_NUMBER: Final = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")


class Unreadable(ValueError):  # noqa: N818 -- what bytes are to a form
    """Bytes that a form cannot read, or a value that it cannot write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One of them. `read` and `write` raise Unreadable.

    `has_types`: a number in it is something else than the same in letters.
    """

    name: str
    read: Callable[[bytes], Any]
    write: Callable[[Any], bytes]
    has_types: bool = True


def forms_of(encoding: str) -> tuple[Form, ...]:
    """Return what an answer may be read as, the likeliest first; all else is plain bytes."""
    if encoding == "bytes":
        return (_JSON, _LINES, _TEXT)
    return ({"json": _JSON, "arrays": _ARRAYS, "files": _FILES}[encoding],)


def _read_json(data: bytes) -> Any:
    try:
        return decode(data, "json")
    except Undecodable as fault:
        raise Unreadable(str(fault)) from fault


def _write_json(value: Any) -> bytes:
    try:
        return json.dumps(value, separators=(",", ":"), default=_plain).encode()
    except (TypeError, ValueError, RecursionError) as fault:
        raise Unreadable(str(fault)) from fault


def _plain(value: object) -> object:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} has no JSON")


def _read_arrays(data: bytes) -> Any:
    try:
        return decode(data, "arrays")
    except Undecodable as fault:
        raise Unreadable(str(fault)) from fault


def _write_arrays(value: Any) -> bytes:
    try:
        return encode(value, "arrays")
    except (TypeError, ValueError, OverflowError, RecursionError) as fault:
        raise Unreadable(str(fault)) from fault


def _read_files(data: bytes) -> Any:
    try:
        files = decode(data, "files")
    except Undecodable as fault:
        raise Unreadable(str(fault)) from fault
    return {path: _read_content(content) for path, content in files.items()}


def _read_content(content: bytes) -> Any:
    try:
        value = _read_json(content)
        return value if _write_json(value) == content else content
    except Unreadable:
        return content


def _write_files(value: Any) -> bytes:
    if not isinstance(value, dict):
        return _write_json(value)
    contents = {
        path: content if isinstance(content, bytes) else _write_json(content)
        for path, content in value.items()
    }
    try:
        return encode(contents, "files")
    except (TypeError, ValueError) as fault:
        raise Unreadable(str(fault)) from fault


def _read_lines(data: bytes) -> Any:
    lines = data.splitlines()
    if len(lines) < 2:
        raise Unreadable("one line")
    return [_read_json(line) for line in lines]


def _write_lines(value: Any) -> bytes:
    if not isinstance(value, list):
        return _write_json(value)
    return b"".join(_write_json(one) + b"\n" for one in value)


def _read_text(data: bytes) -> Any:
    try:
        parts: list[Any] = _NUMBER.split(data.decode())
    except UnicodeDecodeError as fault:
        raise Unreadable(str(fault)) from fault
    if len(parts) == 1:
        raise Unreadable("no numbers")
    parts[1::2] = [int(one) if one.isdigit() else float(one) for one in parts[1::2]]
    return parts


def _write_text(value: Any) -> bytes:
    if isinstance(value, list):
        return "".join(one if isinstance(one, str) else repr(one) for one in value).encode()
    return _write_json(value)


_JSON: Final = Form(name="json", read=_read_json, write=_write_json)
_ARRAYS: Final = Form(name="arrays", read=_read_arrays, write=_write_arrays)
_FILES: Final = Form(name="files", read=_read_files, write=_write_files)
_LINES: Final = Form(name="lines of json", read=_read_lines, write=_write_lines)
_TEXT: Final = Form(name="text", read=_read_text, write=_write_text, has_types=False)
