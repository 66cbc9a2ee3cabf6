"""A cache of compiled code, one folder for each source, for the source's next runs.

The files are code and pickles. So a run gets only the files of its own source's tree or, the first
time, those of the task's baseline. The files that a run compiled are stored before it sees any
data, because later ones could carry what it learned to the next run.
"""

import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Final

from protocol.errors import ArnodeError

MOST_BYTES: Final = 1 << 30
MOST_FILES: Final = 20_000
_PREFIX = "arnode.compiled-"
_MOST_KEPT = 64  # most of a night's patches are never run again


def make_folder() -> Path:
    """Make a folder for a run's compiler, and remove the folders of nodes that were killed."""
    for old in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        owner = old.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists():
            shutil.rmtree(old, ignore_errors=True)  # another user may own it
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))


class CompiledCode:
    """A folder with one folder of compiled files for each tree.

    The compiled files depend on the source and, for example, on the versions of libraries.
    `setting` names the subfolder in use; it must change if any of these but the source changes.
    """

    def __init__(self, folder: Path, *, baseline: bytes, setting: str) -> None:
        self._folder = folder / setting
        self._baseline = self._of(baseline)

    def has(self, tree: bytes) -> bool:
        """Return True if code is stored for a tree."""
        return self._of(tree).is_dir()

    def fill(self, target: Path, tree: bytes) -> None:
        """Copy the code stored for a tree, or else for the baseline, into an empty folder."""
        for kept in (self._of(tree), self._baseline):
            if kept.is_dir():
                os.utime(kept)  # mark as recently used
                shutil.copytree(kept, target, dirs_exist_ok=True)
                return

    def keep(self, source: Path, tree: bytes) -> None:
        """Store the files of a folder that running, untrusted code may still write to.

        Store nothing if they exceed the limits. Raises ArnodeError if the disk cannot store them.
        """
        target = self._of(tree)
        coming = target.with_name(f"{target.name}.coming")
        try:
            shutil.rmtree(coming, ignore_errors=True)
            coming.mkdir(parents=True)
            if _copy_regular(source, coming):
                shutil.rmtree(target, ignore_errors=True)
                coming.rename(target)
                self._forget_old()
        except OSError as error:
            raise ArnodeError(
                f"{target} cannot be written: {error.strerror}", "free space on that disk"
            ) from error
        finally:
            shutil.rmtree(coming, ignore_errors=True)

    def _of(self, tree: bytes) -> Path:
        return self._folder / tree.hex()

    def _forget_old(self) -> None:
        kept = [one for one in self._folder.iterdir() if one != self._baseline]
        kept.sort(key=lambda one: one.stat().st_mtime_ns)
        for one in kept[: max(0, len(kept) - _MOST_KEPT)]:
            shutil.rmtree(one)


def _copy_regular(source: Path, target: Path) -> bool:
    """Copy folders and plain files without following links; return False beyond the limits.

    Files are opened relative to folder descriptors, because the untrusted code may replace any
    folder by a link.
    """
    size = files = 0
    for folder, _, names, descriptor in os.fwalk(source, follow_symlinks=False):
        inside = target / Path(folder).relative_to(source)
        inside.mkdir(exist_ok=True)
        for name in names:
            files += 1
            try:
                opened = os.open(
                    name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=descriptor
                )
            except OSError:  # a link, or gone since
                continue
            with os.fdopen(opened, "rb") as file:
                if not stat.S_ISREG(os.fstat(opened).st_mode):
                    continue
                data = file.read(MOST_BYTES - size + 1)
            size += len(data)
            if size > MOST_BYTES or files > MOST_FILES:
                return False
            (inside / name).write_bytes(data)
    return True
