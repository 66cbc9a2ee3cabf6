"""The night that `arnode view --demo` shows: a home recorded by `tools/demo_night.py`.

The package contains the store and the blobs of that home as an archive, and no keys.
"""

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from typing import Final

from node.home.home import PRIVATE_FOLDER, Home
from node.processes.lifeline import temporary_folder

NIGHT: Final = "night.tar.xz"


@contextmanager
def recorded_home() -> Iterator[Home]:
    """Unpack the recorded home into a temporary folder, which is removed after the block."""
    with temporary_folder() as root:
        home = Home(root / "home")
        home.root.mkdir(mode=PRIVATE_FOLDER)
        with as_file(files("node.demo") / NIGHT) as path, tarfile.open(path) as recorded:
            # Python 3.11.3 and older have no filters (PEP 706).
            recorded.extraction_filter = getattr(tarfile, "data_filter", lambda entry, _: entry)
            recorded.extractall(home.root)  # noqa: S202 (made by tools/demo_night.py)
        yield home
