"""Compilers and interpreters of this machine, as sandboxes show them, read-only and only if asked.

What a build finds here no run does, unless it needs it to run (`at_run`).
"""

import functools
import platform
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from protocol.errors import ConfigurationError
from trainer.sandbox.visible import VisiblePath

_TRIPLET: Final = f"{platform.machine()}-linux-gnu"
_OF_C: Final = (
    "/usr/bin", "/bin", "/etc/alternatives", "/usr/include", "/usr/lib/gcc", "/usr/libexec/gcc",
    f"/usr/lib/{_TRIPLET}",
)  # fmt: skip
_ASKED_S: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolchain:
    """What a toolchain shows: `path` are the folders of its commands, in a sandbox as outside."""

    shown: tuple[VisiblePath, ...]
    path: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    at_run: bool = False


TOOLCHAINS: Final = ("cc", "rust", "node")


@functools.cache
def toolchain(name: str) -> Toolchain:
    """Return a toolchain by its name in a task's file. Raises ConfigurationError if it lacks."""
    match name:
        case "cc":
            _command("cc", "install your distribution's packages `gcc` and `libc6-dev`")
            return Toolchain(shown=tuple(_at(_OF_C)), path=("/usr/bin",))
        case "rust":
            rustc = _command("rustc", "install Rust (rustup.rs), or your distribution's `rustc`")
            asked = [rustc, "--print", "sysroot"]
            said = subprocess.run(asked, capture_output=True, timeout=_ASKED_S, check=False)
            root = said.stdout.decode().strip()
            c = toolchain("cc")  # its linker
            return Toolchain(shown=(*c.shown, *_at([root])), path=(f"{root}/bin", *c.path))
        case "node":
            node = Path(_command("node", "install Node.js 20 or newer")).resolve()
            shown = (VisiblePath(node, str(node)),)
            return Toolchain(shown=shown, path=(str(node.parent),), at_run=True)
    raise ConfigurationError(
        f"there is no toolchain {name!r} here", f"possible: {', '.join(TOOLCHAINS)}"
    )


def shown_by(names: Iterable[str]) -> list[VisiblePath]:
    """Return what several toolchains show, each path once."""
    return list(dict.fromkeys(one for name in names for one in toolchain(name).shown))


def _command(name: str, mend: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise ConfigurationError(f"this task needs `{name}`, which is not installed here", mend)
    return found


def _at(paths: Iterable[str]) -> list[VisiblePath]:
    return [VisiblePath(Path(path), path) for path in paths if Path(path).exists()]
