"""Compilers and interpreters of this machine that a task's sandboxes can show, read-only.

A build sees all toolchains of its task. A run sees only those with `at_run`.
"""

import functools
import platform
import re
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
    f"/usr/lib/{_TRIPLET}", f"/lib/{_TRIPLET}",
)  # fmt: skip
# Common commands of shell scripts, from coreutils, findutils and the like.
_OF_SH: Final = (
    "awk", "basename", "bash", "bc", "cat", "chmod", "cmp", "comm", "cp", "cut", "date", "dd",
    "diff", "dirname", "du", "echo", "env", "expr", "false", "find", "fold", "grep", "gunzip",
    "gzip", "head", "join", "ln", "ls", "mkdir", "mktemp", "mv", "nl", "nproc", "od", "paste",
    "printf", "pwd", "readlink", "realpath", "rev", "rm", "rmdir", "sed", "seq", "sh", "sha256sum",
    "shuf", "sleep", "sort", "split", "stat", "tac", "tail", "tar", "tee", "test", "time",
    "timeout", "touch", "tr", "true", "tsort", "uname", "uniq", "wc", "which", "xargs", "xz", "yes",
)  # fmt: skip
_ASKED_S: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolchain:
    """The paths that a toolchain shows.

    `path` lists the folders of its commands, the same in a sandbox as outside. In `environment`,
    `{temporary}` stands for the sandbox's temporary folder.
    """

    shown: tuple[VisiblePath, ...]
    path: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    at_run: bool = False


TOOLCHAINS: Final = ("cc", "fortran", "go", "node", "rust", "sh")
_COMMANDS: Final = {
    "cc": "cc", "gcc": "cc", "c++": "cc", "g++": "cc", "make": "cc", "gfortran": "fortran",
    "go": "go", "rustc": "rust", "cargo": "rust", "node": "node", "sh": "sh", "bash": "sh",
}  # fmt: skip
# Without these, Go would write elsewhere, and fetch modules and other versions of itself.
_OF_GO: Final = {
    "CGO_ENABLED": "0", "GOCACHE": "{temporary}/go-cache", "GOFLAGS": "-buildvcs=false",
    "GOPATH": "{temporary}/go", "GOPROXY": "off", "GOTOOLCHAIN": "local",
}  # fmt: skip


def toolchain_of(command: str) -> str | None:
    """Return the name of the toolchain that has a command, or None."""
    return _COMMANDS.get(command)


@functools.cache
def toolchain(name: str) -> Toolchain:
    """Return a toolchain by its name in a task's file.

    Raises ConfigurationError if it is not installed.
    """
    match name:
        case "cc":
            _command("cc", "install your distribution's packages `gcc` and `libc6-dev`")
            return Toolchain(shown=tuple(_at(_OF_C)), path=("/usr/bin",))
        case "rust":
            _command("rustc", "install Rust (rustup.rs), or your distribution's `rustc`")
            root = _root_by("rustc", "--print", "sysroot")
            c = toolchain("cc")  # its linker
            return Toolchain(shown=(*c.shown, *_at([root])), path=(f"{root}/bin", *c.path))
        case "fortran":
            _command("gfortran", "install your distribution's package `gfortran`")
            return toolchain("cc")
        case "go":
            _command("go", "install Go (go.dev), or your distribution's package `golang-go`")
            root = _root_by("go", "env", "GOROOT")
            # In Linux distributions GOROOT contains links to folders elsewhere.
            parts = {str(one.resolve()) for one in (Path(root), *Path(root).glob("*"))}
            outside = sorted(one for one in parts if not one.startswith(f"{root}/"))
            shown = tuple(_at(dict.fromkeys((root, *outside))))
            return Toolchain(
                shown=shown, path=(f"{root}/bin",), environment={**_OF_GO, "GOROOT": root}
            )
        case "node":
            node = Path(_command("node", "install Node.js 20 or newer")).resolve()
            return Toolchain(
                shown=(VisiblePath(node, str(node)),), path=(str(node.parent),), at_run=True
            )
        case "sh":
            _command("bash", "install your distribution's package `bash`")
            found = [one for one in map(_in_usr_bin, _OF_SH) if one is not None]
            # Also show shells as /bin/sh and /bin/bash, which scripts name in their first line.
            shells = [VisiblePath(one.host, one.inside.removeprefix("/usr")) for one in found]
            shells = [one for one in shells if one.inside in ("/bin/sh", "/bin/bash")]
            shown = (*found, *shells, *_libraries(tuple(one.host for one in found)))
            return Toolchain(shown=shown, path=("/usr/bin",), at_run=True)
    raise ConfigurationError(
        f"there is no toolchain {name!r}", f"possible: {', '.join(TOOLCHAINS)}"
    )


def shown_by(names: Iterable[str]) -> list[VisiblePath]:
    """Return the paths that several toolchains show, each path once.

    A path inside another shown folder is left out: it is visible already, and nothing can be
    mounted below a folder that is read-only.
    """
    shown = dict.fromkeys(one for name in names for one in toolchain(name).shown)
    folders = {one.inside for one in shown}
    return [one for one in shown if not any(str(up) in folders for up in Path(one.inside).parents)]


def _command(name: str, hint: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise ConfigurationError(f"this task needs `{name}`, which is not installed here", hint)
    return found


def _root_by(*asked: str) -> str:
    """Return the folder of a toolchain, which its own command names.

    Raises ConfigurationError if the command fails, or names no folder: a version manager's command
    does so if no version is chosen, and its empty answer would show the current folder.
    """
    ended = subprocess.run(asked, capture_output=True, timeout=_ASKED_S, check=False)
    root = ended.stdout.decode(errors="replace").strip()
    if ended.returncode == 0 and Path(root).is_absolute() and Path(root).is_dir():
        return root
    said = ended.stderr.decode(errors="replace").strip().splitlines()
    why = said[0] if said else f"`{' '.join(asked)}` names no folder"
    raise ConfigurationError(
        f"`{asked[0]}` is installed but cannot be used: {why}",
        f"make `{asked[0]} --version` work, or install another one",
    )


def _in_usr_bin(name: str) -> VisiblePath | None:
    found = shutil.which(name, path="/usr/bin:/bin")
    return None if found is None else VisiblePath(Path(found).resolve(), f"/usr/bin/{name}")


def _libraries(programs: tuple[Path, ...]) -> list[VisiblePath]:
    """Return the shared libraries that programs are linked with; scripts have none."""
    ldd = _command("ldd", "install your distribution's package that has it, such as `libc-bin`")
    asked = [ldd, *map(str, programs)]
    said = subprocess.run(asked, capture_output=True, timeout=_ASKED_S, check=False)
    found = re.findall(r"=> (/\S+) \(0x", said.stdout.decode(errors="replace"))
    return [VisiblePath(Path(path).resolve(), path) for path in sorted(set(found))]


def _at(paths: Iterable[str]) -> list[VisiblePath]:
    return [VisiblePath(Path(path), path) for path in paths if Path(path).exists()]
