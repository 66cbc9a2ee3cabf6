"""Processes that end with this one, whatever ends it: a signal, a fault, `kill -9`."""

import fcntl
import os
import shutil
import stat
import tempfile
from asyncio import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from node.processes import guard
from trainer.host.interpreter import python_command

_TEMPORARY: Final = "arnode-demo-"


class Lifeline:
    """What processes live on until it is cut, or nobody is left to cut it.

    `folder` goes when the last of them has ended without this process having removed it.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._theirs, self._ours = os.pipe()  # neither is inherited unless it is named

    async def start(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        stdout: int | IO[bytes],
        stderr: int | IO[bytes],
    ) -> subprocess.Process:
        """Start a command and return the process that guards it, which exits as it does."""
        from asyncio import create_subprocess_exec

        return await create_subprocess_exec(
            *(*python_command("-S", "-B"), guard.__file__),
            *(str(self._folder or ""), *command),
            stdin=self._theirs,
            stdout=stdout,
            stderr=stderr,
            env=env,
            start_new_session=True,  # an interrupt at the terminal is for this process
        )

    def cut(self) -> None:
        """Have everything end within seconds; wait for each process to know when it has."""
        for end in (self._ours, self._theirs):
            with suppress(OSError):
                os.close(end)
        self._ours = self._theirs = -1


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a short-lived folder, and remove it afterwards.

    What an earlier one left, whose process and all guards were killed, is removed first.
    """
    remove_left(Path(tempfile.gettempdir()))
    root, lock = _held_folder()
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)
        os.close(lock)


def _held_folder() -> tuple[Path, int]:
    while True:
        root = Path(tempfile.mkdtemp(prefix=_TEMPORARY)).resolve()
        lock = os.open(root / guard.LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(lock, fcntl.LOCK_SH)
        if (root / guard.LOCK).exists():  # nobody took it for a left one before it was locked
            return root, lock
        os.close(lock)


def remove_left(parent: Path) -> None:
    """Remove temporary folders of this user that no process uses any more."""
    for root in parent.glob(f"{_TEMPORARY}*"):
        with suppress(OSError):  # somebody else's, or gone meanwhile, or in use
            about = root.lstat()
            if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid():
                continue
            lock = os.open(root / guard.LOCK, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(root, ignore_errors=True)
            finally:
                os.close(lock)
