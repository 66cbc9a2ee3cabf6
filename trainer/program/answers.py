"""Functions that decode an answer, change some of its numbers or lists, and encode it again.

Changes return copies. The encoded bytes may be invalid on purpose: NaN, for example, is not JSON.
`trainer.program.targets` uses a format (`Form`) only if decoding and encoding an answer preserve
its score.
"""

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, TypeAlias

import numpy as np

from trainer.program.harness.codec import decode, encode

Path: TypeAlias = tuple[object, ...]

MOST_KEYS: Final = 8
_MOST_PARTS: Final = 6
_NUMBER: Final = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")
_FAULTS: Final = (TypeError, ValueError, OverflowError, RecursionError)


# Bytes and values


class Unreadable(ValueError):  # noqa: N818 -- a property of bytes
    """Bytes that an answer format cannot decode, or a value that it cannot encode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """Bytes that are sent as they are."""

    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """An answer format. `has_types` is True if the number 1 and the text "1" differ in it."""

    name: str
    decode: Callable[[bytes], Any]
    encode: Callable[[Any], bytes]
    has_types: bool = True

    def read(self, data: bytes) -> Any:
        """Return the value of an answer. Raises Unreadable."""
        try:
            return self.decode(data)
        except _FAULTS as fault:
            raise Unreadable(str(fault)) from fault

    def write(self, value: Any) -> bytes:
        """Return the bytes of a value. Raises Unreadable."""
        try:
            return self.encode(value)
        except _FAULTS as fault:
            raise Unreadable(str(fault)) from fault


def forms_of(encoding: str) -> tuple[Form, ...]:
    """Return the formats to try for an answer in this encoding, the likeliest first."""
    if encoding == "bytes":
        return (_JSON, _LINES, _TEXT)
    return ({"json": _JSON, "arrays": _ARRAYS, "files": _FILES}[encoding],)


def bytes_of(value: Any, form: Form | None) -> bytes:
    """Return the bytes of a changed value. Raises Unreadable."""
    if isinstance(value, Raw):
        return value.data
    if form is None:
        raise Unreadable("no form")
    return form.write(value)


def _write_json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), default=_plain).encode()


def _plain(value: object) -> object:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} cannot be encoded as JSON")


def _read_files(data: bytes) -> Any:
    return {path: _read_content(content) for path, content in decode(data, "files").items()}


def _read_content(content: bytes) -> Any:
    try:
        value = _JSON.read(content)
        return value if _JSON.write(value) == content else content
    except Unreadable:
        return content


def _write_files(value: Any) -> bytes:
    if not isinstance(value, dict):
        return _write_json(value)
    contents = {
        path: content if isinstance(content, bytes) else _write_json(content)
        for path, content in value.items()
    }
    return encode(contents, "files")


def _read_lines(data: bytes) -> Any:
    lines = data.splitlines()
    if len(lines) < 2:
        raise Unreadable("one line")
    return [decode(line, "json") for line in lines]


def _write_lines(value: Any) -> bytes:
    if not isinstance(value, list):
        return _write_json(value)
    return b"".join(_write_json(one) + b"\n" for one in value)


def _read_text(data: bytes) -> Any:
    parts: list[Any] = _NUMBER.split(data.decode())
    if len(parts) == 1:
        raise Unreadable("no numbers")
    parts[1::2] = [int(one) if one.isdigit() else float(one) for one in parts[1::2]]
    return parts


def _write_text(value: Any) -> bytes:
    if isinstance(value, list):
        return "".join(one if isinstance(one, str) else repr(one) for one in value).encode()
    return _write_json(value)


_JSON: Final = Form(name="json", decode=lambda data: decode(data, "json"), encode=_write_json)
_ARRAYS: Final = Form(
    name="arrays",
    decode=lambda data: decode(data, "arrays"),
    encode=lambda value: encode(value, "arrays"),
)
_FILES: Final = Form(name="files", decode=_read_files, encode=_write_files)
_LINES: Final = Form(name="lines of json", decode=_read_lines, encode=_write_lines)
_TEXT: Final = Form(name="text", decode=_read_text, encode=_write_text, has_types=False)


# Numbers


def numbers_in(value: Any, at: Path = ()) -> Iterator[tuple[Path, float]]:
    """Yield the numbers of a value, each with its path."""
    match value:
        case bool():
            return
        case int() | float():
            yield at, value
        case np.ndarray() | np.generic() if value.dtype.kind in "iuf":
            yield from numbers_in(value.tolist(), at)
        case list() | tuple():
            for index, item in enumerate(value):
                yield from numbers_in(item, (*at, index))
        case dict():
            for key, item in value.items():
                yield from numbers_in(item, (*at, key))


def with_numbers(value: Any, change: Callable[[Path, Any], Any], at: Path = ()) -> Any:
    """Return a copy with each number replaced by `change(path, number)`."""
    match value:
        case bool():
            return value
        case int() | float():
            return change(at, value)
        case np.ndarray() | np.generic() if value.dtype.kind in "iuf":
            changed = with_numbers(value.tolist(), change, at)
            try:
                return np.array(changed)
            except (ValueError, OverflowError):  # no array can hold these
                return changed
        case list():
            return [with_numbers(item, change, (*at, index)) for index, item in enumerate(value)]
        case tuple():
            return tuple(with_numbers(list(value), change, at))
        case dict():
            return {key: with_numbers(item, change, (*at, key)) for key, item in value.items()}
    return value


def all_and_last(value: Any, change: Callable[[Any], Any]) -> Iterator[Any]:
    """Yield a copy with all numbers changed, then one with only the last changed."""
    found = list(numbers_in(value))
    if found:
        last = found[-1][0]
        yield with_numbers(value, lambda _at, number: change(number))
        yield with_numbers(value, lambda at, number: change(number) if at == last else number)


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberGroup:
    """Some of an answer's numbers, changed together. `has` returns True for the path of each."""

    name: str
    has: Callable[[Path], bool]


def float_groups(value: Any, figure: float) -> list[NumberGroup]:
    """Return groups of floats: all, all under one key, all in one column, and single floats."""
    floats = [(at, number) for at, number in numbers_in(value) if isinstance(number, float)]
    if not floats:
        return []
    found = [NumberGroup(name="all numbers", has=lambda _at: True)]
    if isinstance(value, dict):
        keys = list(dict.fromkeys(at[0] for at, _ in floats))[:_MOST_PARTS]
        found += [NumberGroup(name=f"{key!r}", has=_starts_with(key)) for key in keys]
    ends = sorted({at[-1] for at, _ in floats if len(at) > 1}, key=str)
    if 1 < len(ends) <= _MOST_PARTS:
        found += [NumberGroup(name=f"{end!r} of each part", has=_ends_with(end)) for end in ends]
    single = [floats[0][0], floats[-1][0]]
    single += [at for at, number in floats if math.isclose(number, figure, rel_tol=1e-9)][:1]
    found += [_single(at) for at in dict.fromkeys(single)]
    return found


def single_numbers(value: Any) -> list[NumberGroup]:
    """Return groups of one number each: the numbers by which an answer might claim a score."""
    paths = [at for at, _ in numbers_in(value)]
    named = [at for at in paths if at and isinstance(at[-1], str)][:_MOST_PARTS]
    return [_single(at) for at in dict.fromkeys([*named, *paths[:2], *paths[-1:]])]


def increased(value: Any, group: NumberGroup, size: float) -> Any:
    """Return a copy with the floats of a group increased by the relative amount `size`."""

    def change(at: Path, number: Any) -> Any:
        if not isinstance(number, float) or not group.has(at):
            return number
        return (
            number * (1 + size)
            if group.name == "all numbers"
            else number + size * max(1.0, abs(number))
        )

    return with_numbers(value, change)


def put(value: Any, group: NumberGroup, number: float) -> Any:
    """Return a copy with each number of a group replaced by `number`."""
    return with_numbers(value, lambda at, old: number if group.has(at) else old)


def _starts_with(key: object) -> Callable[[Path], bool]:
    return lambda at: bool(at) and at[0] == key


def _ends_with(end: object) -> Callable[[Path], bool]:
    return lambda at: len(at) > 1 and at[-1] == end


def _single(path: Path) -> NumberGroup:
    name = ".".join(map(str, path)) or "the answer itself"
    return NumberGroup(name=name, has=lambda at: at == path)


# Lists


def halved(value: Any) -> Any:
    """Return a copy with only the first half of each list."""
    match value:
        case list() | str() | bytes():
            return value[: len(value) // 2]
        case np.ndarray() if value.ndim:
            return value[: len(value) // 2]
        case dict():
            return {key: halved(item) for key, item in value.items()}
    return value


def lists_in(value: Any) -> Iterator[tuple[Any, Callable[[Any], Any]]]:
    """Yield each list of two or more items, and a function that puts another list in its place."""
    if isinstance(value, list):
        if len(value) > 1:
            yield value, lambda other: other
    elif isinstance(value, np.ndarray):
        if value.ndim and len(value) > 1:
            yield value, lambda other: other
    elif isinstance(value, dict):
        for key, item in islice(value.items(), MOST_KEYS):
            for inner, put_inner in lists_in(item):
                yield inner, _within(value, key, put_inner)


def _within(table: dict[Any, Any], key: Any, put_inner: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda other: {**table, key: put_inner(other)}


def joined(one: Any, other: Any) -> Any:
    """Return two lists as one."""
    return np.concatenate([one, other]) if isinstance(one, np.ndarray) else one + other
