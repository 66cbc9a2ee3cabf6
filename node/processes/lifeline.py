"""Child processes that end when this process ends, even by a crash or `kill -9`."""

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
    """A pipe that keeps processes alive until it is cut, or this process ends.

    If this process does not remove `folder`, the last of the processes to end removes it.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._theirs, self._ours = os.pipe()  # neither end is inherited by default

    async def start(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        stdout: int | IO[bytes],
        stderr: int | IO[bytes],
    ) -> subprocess.Process:
        """Start a command and return its guard process, which exits with the same code."""
        from asyncio import create_subprocess_exec

        return await create_subprocess_exec(
            *(*python_command("-S", "-B"), guard.__file__),
            *(str(self._folder or ""), *command),
            stdin=self._theirs,
            stdout=stdout,
            stderr=stderr,
            env=env,
            start_new_session=True,  # Ctrl-C at the terminal must reach only this process
        )

    def cut(self) -> None:
        """Make all processes end within seconds. This does not wait until they have ended."""
        for end in (self._ours, self._theirs):
            with suppress(OSError):
                os.close(end)
        self._ours = self._theirs = -1


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Create a temporary folder, and remove it after the block.

    First remove the folders of earlier processes that were killed together with their guards.
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
        if (root / guard.LOCK).exists():  # no other process removed it before it was locked
            return root, lock
        os.close(lock)


def remove_left(parent: Path) -> None:
    """Remove this user's temporary folders that no process uses any more."""
    for root in parent.glob(f"{_TEMPORARY}*"):
        with suppress(OSError):  # another user's, already removed, or in use
            about = root.lstat()
            if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid():
                continue
            lock = os.open(root / guard.LOCK, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(root, ignore_errors=True)
            finally:
                os.close(lock)
