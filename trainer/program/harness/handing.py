"""Passes instances to commands and answers back in files, for commands with `{in}` or `{out}`.

With encoding `files`, instance and answer are folders. The command may leave anything as its
answer: a link, a pipe, an endless file. Only plain files that exist when the command has ended
count. They are read immediately, while the clock still runs. What a process writes after the
command has ended is too late.
"""

import contextlib
import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from trainer.program.harness.files import File, pack_files, unpack_files, write_files

IN: Final = "{in}"
OUT: Final = "{out}"
IN_FILE: Final = "arnode-in"
OUT_FILE: Final = "arnode-out"
FOLDERS: Final = "files"  # the encoding
_MOST_FILES: Final = 4096
_MOST_BYTES: Final = 256 << 20  # more than any answer may be


def named(command: Sequence[str]) -> list[str]:
    """Return a command with the files' names in place of the placeholders."""
    return [word.replace(IN, IN_FILE).replace(OUT, OUT_FILE) for word in command]


def is_asked(command: Sequence[str], what: str) -> bool:
    """Return True if a command contains the placeholder `what`, which is `{in}` or `{out}`."""
    return any(what in word for word in command)


def put(instance: int, encoding: str) -> int:
    """Write the instance to its file. Return a descriptor of an empty standard input.

    With encoding `files`, write its files to a folder, and create an empty folder for the answer.
    Raises SystemExit if the file or folder exists already.
    """
    try:
        with os.fdopen(instance, "rb") as file:
            if encoding == FOLDERS:
                for name in (IN_FILE, OUT_FILE):
                    Path(name).mkdir()
                write_files(unpack_files(file.read()), Path(IN_FILE))
            else:
                with Path(IN_FILE).open("xb") as target:
                    shutil.copyfileobj(file, target)
    except FileExistsError as error:
        raise SystemExit(
            f"{error.filename} exists already: the instance cannot be written"
        ) from error
    return os.open(os.devnull, os.O_RDONLY)


def hand_over(writing: int, encoding: str) -> None:
    """Write the answer to the pipe `writing`. Raises SystemExit without an answer."""
    if encoding == FOLDERS:
        _hand_over_folder(writing)
        return
    try:
        # O_NONBLOCK: a named pipe would otherwise not open until a writer opens it.
        reading = os.open(OUT_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise SystemExit(f"there is no answer in {OUT_FILE}: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(reading).st_mode):
        raise SystemExit(f"the answer in {OUT_FILE} is not a plain file")
    # The reader closes the pipe if the answer exceeds its limit.
    broken = contextlib.suppress(BrokenPipeError)
    with broken, os.fdopen(reading, "rb") as file, os.fdopen(writing, "wb") as pipe:
        shutil.copyfileobj(file, pipe)


def _hand_over_folder(writing: int) -> None:
    files: list[File] = []
    total = 0
    if Path(OUT_FILE).is_symlink() or not Path(OUT_FILE).is_dir():
        raise SystemExit(f"the answer in {OUT_FILE} is not a folder")
    for folder, _, names, at in os.fwalk(OUT_FILE):
        for name in sorted(names):
            inside = Path(folder, name).relative_to(OUT_FILE).as_posix()
            if len(files) == _MOST_FILES:
                raise SystemExit(f"the answer has more than {_MOST_FILES} files")
            data = _plain_file(name, at, inside, most=_MOST_BYTES + 1 - total)
            total += len(data)
            files.append(File(path=inside, data=data))
    with contextlib.suppress(BrokenPipeError), os.fdopen(writing, "wb") as pipe:
        pipe.write(pack_files(files))


def _plain_file(name: str, at: int, inside: str, *, most: int) -> bytes:
    """Return at most `most` bytes of a file in an open folder."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        reading = os.open(name, flags, dir_fd=at)
    except OSError as error:
        raise SystemExit(f"{OUT_FILE}/{inside} cannot be read: {error.strerror}") from error
    with os.fdopen(reading, "rb") as file:
        if not stat.S_ISREG(os.fstat(reading).st_mode):
            raise SystemExit(f"{OUT_FILE}/{inside} is not a plain file")
        return file.read(max(0, most))
