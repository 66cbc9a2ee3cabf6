"""Hostile replacements of a file in a folder: each leads out of the folder, or is not a file."""

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

SECRET: Final = "-----BEGIN OPENSSH PRIVATE KEY-----"
REFUSED: Final = r"(lies outside the folder: it leads to|is a (FIFO|socket|device))"


def secret_next_to(root: Path) -> Path:
    """Make a folder with a file that no task names."""
    folder = root / "secret"
    folder.mkdir(exist_ok=True)
    (folder / "id_rsa").write_text(f"{SECRET}\n")
    return folder


def _replaced(make: Callable[[Path, Path], None]) -> Callable[[Path, Path], None]:
    def replace(path: Path, secret: Path) -> None:
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        make(path, secret)

    return replace


def _upwards(path: Path, secret: Path) -> None:
    path.symlink_to(os.path.relpath(secret / "id_rsa", path.parent))


def _over_a_link(path: Path, secret: Path) -> None:
    """Make a link to a link inside the folder that leads outside."""
    step = path.with_name("0_step")
    step.symlink_to(secret / "id_rsa")
    path.symlink_to(step.name)


def _socket(path: Path, _: Path) -> None:
    before = Path.cwd()
    os.chdir(path.parent)  # the path of a socket must be short
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    finally:
        os.chdir(before)


OUTSIDERS: Final[dict[str, Callable[[Path, Path], None]]] = {
    "link to a file": _replaced(lambda path, secret: path.symlink_to(secret / "id_rsa")),
    "link upwards": _replaced(_upwards),
    "link over a link": _replaced(_over_a_link),
    "link to a folder": _replaced(lambda path, secret: path.symlink_to(secret)),
    "link to a device": _replaced(lambda path, _: path.symlink_to("/dev/zero")),
    "link into /proc": _replaced(lambda path, _: path.symlink_to("/proc/self/environ")),
    "FIFO": _replaced(lambda path, _: os.mkfifo(path)),
    "socket": _replaced(_socket),
}
