"""Constants in a source, read as text: lines `NAME = value` with a name unique within its file.

Rungs differ in such constants, for example in depth and width. Nothing is parsed as Python, so this
is safe on untrusted sources.
"""

from collections.abc import Mapping
from typing import TypeAlias

from protocol.source import Source

Constant: TypeAlias = tuple[str, str]  # (path of the file, name)
_ASSIGNS = b" = "


def constants_of(source: Source) -> dict[Constant, bytes]:
    """Return the value of each constant, as written in the source."""
    found: dict[Constant, list[bytes]] = {}
    for path, data in source.files:
        for line in data.split(b"\n"):
            if (read := _read(line)) is not None:
                found.setdefault((path, read[0].decode()), []).append(read[1])
    return {constant: values[0] for constant, values in found.items() if len(values) == 1}


def with_constants(source: Source, values: Mapping[Constant, bytes]) -> Source:
    """Return the source with these constants set; skip constants that it does not have."""
    known = constants_of(source)
    for path, data in source.files:
        wanted = {
            name.encode(): value
            for (at, name), value in values.items()
            if at == path and (at, name) in known
        }
        if wanted:
            lines = [_with(line, wanted) for line in data.split(b"\n")]
            source = source.replacing(path, b"\n".join(lines))
    return source


def sizes_between(below: Source, above: Source) -> dict[Constant, bytes]:
    """Return the constants that differ between two rungs' baselines, with the upper rung's values.

    Constants that only one of them has are left out.
    """
    lower, upper = constants_of(below), constants_of(above)
    return {
        constant: value
        for constant, value in upper.items()
        if constant in lower and lower[constant] != value
    }


def _with(line: bytes, wanted: Mapping[bytes, bytes]) -> bytes:
    read = _read(line)
    if read is None or read[0] not in wanted:
        return line
    name, value = read
    return name + _ASSIGNS + wanted[name] + line[len(name) + len(_ASSIGNS) + len(value) :]


def _read(line: bytes) -> tuple[bytes, bytes] | None:
    """Return the name and value that a line assigns, without a trailing comment."""
    name, assigns, rest = line.partition(_ASSIGNS)
    if not assigns or not name.isascii() or not name.isupper():
        return None
    value = rest.partition(b"#")[0].rstrip()
    is_quoted = rest[len(value) :].lstrip().startswith(b"#") and value.count(b'"') % 2 == 1
    if not value or is_quoted or not name.decode().isidentifier():
        return None
    return name, value
