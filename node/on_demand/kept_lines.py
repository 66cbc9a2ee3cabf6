"""A text file for the finished steps of a command's long measurement. A kill cannot damage it.

The first line of text holds a salt that determines all random draws. So they are fixed before the
first run, and an interrupt cannot select among them. Each later line of text is one finished step,
written to disk at once. An incomplete line is not read.
"""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO, Final, TypeVar

from node.home.faults import explaining_faults
from node.home.home import PRIVATE_FOLDER
from protocol.codecs import Codec, identifier, integer
from protocol.encoding import Value
from protocol.errors import ConfigurationError, Rejected
from protocol.fields import Mapped, Named

T = TypeVar("T", bound=Mapped)

_SALT_BYTES: Final = 16
_VERSION: Final = 1
_DIGITS: Final = identifier(r"([0-9a-f]{2})+")


def hexadecimal(size_bytes: int) -> Codec[bytes]:
    """Return the codec for `size_bytes` bytes in hexadecimal."""

    def read(value: Value) -> bytes | Rejected:
        digits = _DIGITS.read(value)
        if isinstance(digits, Rejected):
            return digits
        found = bytes.fromhex(digits)
        return found if len(found) == size_bytes else Rejected(f"not {size_bytes} bytes")

    return Codec(read, bytes.hex)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header(Mapped):
    """The salt that determines all random draws."""

    version: Annotated[int, integer(_VERSION, _VERSION), Named("v")]
    salt: Annotated[bytes, hexadecimal(_SALT_BYTES)]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptLines:
    """An open file: its salt, and the lines of text after the first when it was opened."""

    path: Path
    salt: bytes
    lines: tuple[bytes, ...]
    stream: BinaryIO

    def append(self, entry: Mapped) -> None:
        """Append a line of text to the file, and wait until it is on disk."""
        _append(self.stream, self.path, entry)


@contextmanager
def kept_lines(path: Path, *, is_fresh: bool) -> Iterator[KeptLines]:
    """Open a file for this process alone; `is_fresh` deletes its contents.

    Raises ConfigurationError while another process has it open.
    """
    with explaining_faults(path):
        path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        # In append mode every write goes to the end, even if a full disk cut the previous one
        # short.
        stream = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "a+b")
    with stream:
        header, lines = _begun(stream, path, is_fresh=is_fresh)
        yield KeptLines(path=path, salt=header.salt, lines=tuple(lines), stream=stream)


def read_line(kind: type[T], line: bytes) -> T | Rejected:
    """Parse a line of text."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return Rejected("not JSON")
    return kind.from_value(value)


def _begun(stream: BinaryIO, path: Path, *, is_fresh: bool) -> tuple[_Header, list[bytes]]:
    """Lock the file, drop an incomplete last line, and return the header and the other lines.

    A file without a salt is emptied, since its draws cannot be repeated.
    """
    with explaining_faults(path):
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as fault:
            raise ConfigurationError(
                f"another command is using {path}", "wait until it ends, or interrupt it"
            ) from fault
        stream.seek(0)
        data = b"" if is_fresh else stream.read()
        whole = data[: data.rfind(b"\n") + 1]
        lines = whole.split(b"\n")[:-1]
        header = read_line(_Header, lines[0]) if lines else None
        if isinstance(header, _Header):
            stream.truncate(len(whole))
            return header, lines[1:]
        stream.truncate(0)
    header = _Header(version=_VERSION, salt=secrets.token_bytes(_SALT_BYTES))
    _append(stream, path, header)
    return header, []


def _append(stream: BinaryIO, path: Path, entry: Mapped) -> None:
    with explaining_faults(path):
        stream.write(json.dumps(entry.to_value()).encode() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())
