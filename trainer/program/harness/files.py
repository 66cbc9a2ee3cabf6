"""Packs files into bytes: those sent to a sandbox, and those that a build sends back.

Data folders are not sent as bytes. Sandboxes show them next to arnode's code.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import msgpack

_MAX_PATH = 256
_DATA = Path(__file__).parents[4] / "data"


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file. Its path is relative and stays inside its folder."""

    path: str
    data: bytes
    is_executable: bool = False


def pack_files(files: Sequence[File]) -> bytes:
    """Return files as bytes."""
    return bytes(msgpack.packb([[one.path, one.data, one.is_executable] for one in files]))


def unpack_files(data: bytes) -> list[File]:
    """Return the files in untrusted bytes of `pack_files`. Raises ValueError."""
    try:
        listed = msgpack.unpackb(data, max_map_len=0, max_ext_len=0)
    except Exception as error:
        raise ValueError("not a list of files") from error
    if not isinstance(listed, list):
        raise ValueError("not a list of files")  # noqa: TRY004 -- what bytes say is a value
    return [_file(one) for one in listed]


def write_files(files: Sequence[File], folder: Path) -> None:
    """Write files below a folder that has no files of these names."""
    for one in files:
        target = folder / one.path
        target.parent.mkdir(parents=True, exist_ok=True)
        # Set the mode at creation, because the sandbox refuses to change it later.
        mode = 0o755 if one.is_executable else 0o644
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT, mode), "wb") as file:
            file.write(one.data)


def link_data(folder: Path) -> None:
    """Link the data folders of this sandbox into a folder."""
    if _DATA.is_dir():
        for one in _DATA.iterdir():
            (folder / one.name).symlink_to(one)


def _file(item: object) -> File:
    match item:
        case [str() as path, bytes() as data, bool() as is_executable]:
            parts = PurePosixPath(path).parts
            is_inside = parts and not path.startswith("/") and ".." not in parts
            if is_inside and len(path) <= _MAX_PATH and path.isprintable():
                return File(path=path, data=data, is_executable=is_executable)
    raise ValueError("a file is malformed, or its path leads outside the folder")
