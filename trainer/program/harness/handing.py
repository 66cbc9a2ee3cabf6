"""An instance that is a file, and an answer that is one, of a command that asks for either.

The command may leave anything in the place of its answer: a link, a pipe, a folder, a file without
end. Only a plain file that is there when the command has ended is an answer. It is read at once,
under the clock: what somebody who outlives the command writes to it later comes too late.
"""

import contextlib
import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

IN: Final = "{in}"
OUT: Final = "{out}"
IN_FILE: Final = "arnode-in"
OUT_FILE: Final = "arnode-out"


def named(command: Sequence[str]) -> list[str]:
    """Return a command with the files' names in place of their words."""
    return [word.replace(IN, IN_FILE).replace(OUT, OUT_FILE) for word in command]


def is_asked(command: Sequence[str], what: str) -> bool:
    """Say whether a command asks for a file, of the instance or of the answer."""
    return any(what in word for word in command)


def put(instance: int) -> int:
    """Write the instance to its file; return a descriptor of nothing to be read in its place."""
    try:
        with os.fdopen(instance, "rb") as file, Path(IN_FILE).open("xb") as target:
            shutil.copyfileobj(file, target)
    except FileExistsError as error:
        raise SystemExit(f"{IN_FILE} is there already: the instance is to be") from error
    return os.open(os.devnull, os.O_RDONLY)


def hand_over(writing: int) -> None:
    """Write the answer's file to a pipe. Raises SystemExit where there is none."""
    try:
        # A pipe would not open until somebody writes to it.
        reading = os.open(OUT_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise SystemExit(f"there is no answer in {OUT_FILE}: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(reading).st_mode):
        raise SystemExit(f"the answer in {OUT_FILE} is no plain file")
    # Whoever reads has enough at some point, where it is larger than an answer may be.
    broken = contextlib.suppress(BrokenPipeError)
    with broken, os.fdopen(reading, "rb") as file, os.fdopen(writing, "wb") as pipe:
        shutil.copyfileobj(file, pipe)
