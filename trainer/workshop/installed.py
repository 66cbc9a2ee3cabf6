"""Where the files of an installed program are: its prefix, its interpreter's, links to them.

Coding agents are mostly installed beneath the user's home (npm, uv, pipx, a venv), of which a
workshop shows only what is named. A prefix is a folder that belongs to the program alone; where
there is none, only the file itself is shown. What belongs to the system is shown anyway.

A version manager's shim (pyenv, nodenv, asdf, volta and mise put one first in PATH) is not the
program: it looks for its manager, which is not in a workshop. It is refused, with the fix.
"""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protocol.errors import ConfigurationError

# Read-only in every workshop, as far as they exist. Of /etc one by one: a workshop of root's node
# could read passwords and private keys there, and
# what a shell starts with may hold keys of other services.
SYSTEM: Final = tuple(
    Path(name)
    for name in (
        "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt",
        "/nix/store", "/gnu/store", "/home/linuxbrew/.linuxbrew", "/sys/devices/system/cpu",
        "/run/systemd/resolve", "/run/resolvconf",
        "/etc/alternatives", "/etc/ca-certificates", "/etc/ca-certificates.conf",
        "/etc/claude-code", "/etc/codex", "/etc/crypto-policies", "/etc/gai.conf",
        "/etc/gitconfig", "/etc/group", "/etc/host.conf", "/etc/hosts", "/etc/inputrc",
        "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/locale.alias",
        "/etc/localtime", "/etc/mime.types", "/etc/networks", "/etc/nsswitch.conf",
        "/etc/os-release", "/etc/passwd", "/etc/pki/ca-trust", "/etc/pki/tls/cert.pem",
        "/etc/pki/tls/certs", "/etc/protocols", "/etc/python3", "/etc/resolv.conf",
        "/etc/services", "/etc/shells", "/etc/ssl/cert.pem", "/etc/ssl/certs",
        "/etc/ssl/openssl.cnf", "/etc/terminfo", "/etc/timezone",
    )
)  # fmt: skip
_MOST_LINKS = 40  # as many as the kernel follows
_SHEBANG_BYTES = 256
# A folder with `bin` in it this deep beneath the home is one program's (~/.nvm/versions/node/v22);
# less deep it may be everybody's (~/.local), unless one of these lies in it.
_DEEP = 3
_OF_ONE = ("pyvenv.cfg", "conda-meta")

_SCRIPT_BYTES: Final = 4_096
_MANAGERS: Final = ("pyenv", "nodenv", "rbenv", "asdf", "mise", "rtx")
_STARTS: Final = re.compile(rf'exec\s+"?(?:[^\s"]*/)?({"|".join(_MANAGERS)})"?\s+(?:exec|x)\b')
_VOLTA: Final = "volta-shim"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """A program by its full name, its paths outside the system, and the links that lead to them.

    `links` are pairs of a link and its text; a link inside one of `paths` is not listed.
    """

    program: str
    paths: tuple[Path, ...]
    links: tuple[tuple[Path, Path], ...]


def installation(words: Sequence[str], *, home: Path, search_path: str) -> Installation:
    """Return where the program that a command starts is installed.

    Other words of the command that are full names of files (a script to interpret) belong to it.
    Raises ConfigurationError if there is no such program, or if it or its interpreter is a shim.
    """
    program = find_program(words[0], home=home, search_path=search_path)
    search = _FileSearch(home=home, search_path=search_path)
    search.add_program(program)
    for word in words[1:]:
        if word.startswith("/") and _is_file(Path(word)):
            search.add_file(Path(word))
    paths = tuple(path for path in dict.fromkeys(search.paths) if not is_in_any(path, SYSTEM))
    shown = (*SYSTEM, *paths)
    links = {link: to for link, to in search.links.items() if not is_in_any(link, shown)}
    return Installation(program=str(program), paths=paths, links=tuple(links.items()))


def find_program(word: str, *, home: Path, search_path: str) -> Path:
    """Return a program by its full name. Raises ConfigurationError where there is none."""
    name = str(home / word[2:]) if word.startswith("~/") else word
    found = shutil.which(name, path=search_path)
    if found is None:
        is_file = _is_file(Path(name))
        raise ConfigurationError(
            f"the program `{word}` {'may not be executed' if is_file else 'was not found'}",
            f"`chmod +x {name}`" if is_file else "install it, or give its full name",
        )
    if not Path(found).is_absolute():
        raise ConfigurationError(
            f"`{word}` depends on where the node was started", "give the program's full name"
        )
    return Path(found)


def is_in_any(path: Path, folders: Sequence[Path]) -> bool:
    """Say whether a path is one of the folders or lies beneath one."""
    return any(folder == path or folder in path.parents for folder in folders)


class _FileSearch:
    """Follows a program's links, its shebang and its interpreter's links."""

    def __init__(self, *, home: Path, search_path: str) -> None:
        self.paths: list[Path] = []
        self.links: dict[Path, Path] = {}
        self._home = home
        self._search_path = search_path

    def add_program(self, program: Path) -> None:
        waiting, known = [program], {program}
        while waiting:
            name = waiting.pop()
            _refuse_shim(name)
            file = self._follow(name)
            self.paths.append(self._prefix(file))
            interpreter = self._interpreter(file)
            if interpreter is not None and interpreter not in known:
                known.add(interpreter)
                waiting.append(interpreter)

    def add_file(self, path: Path) -> None:
        self.paths.append(self._follow(path))

    def _follow(self, path: Path) -> Path:
        """Return the file that a full name leads to."""
        file, waiting, links = Path("/"), [*reversed(path.parts[1:])], 0
        while waiting:
            part = waiting.pop()
            name = file.parent if part == ".." else file / part
            if not name.is_symlink() or links == _MOST_LINKS:
                file = name
                continue
            links += 1
            target = self.links[name] = name.readlink()
            # An environment's `python` is a link out of it, and means nothing without it.
            if name.parent.name == "bin" and _is_of_one(name.parent.parent):
                self.paths.append(name.parent.parent)
            file = Path("/") if target.is_absolute() else file
            waiting += reversed(target.parts[target.is_absolute() :])
        return file

    def _prefix(self, file: Path) -> Path:
        """Return the largest folder around a file that is its program's alone, else the file."""
        if "node_modules" in file.parts:
            return Path(*file.parts[: file.parts.index("node_modules") + 1])
        prefix = file.parent.parent
        if file.parent.name != "bin" or prefix == self._home or prefix in self._home.parents:
            return file
        is_deep = (
            len(prefix.relative_to(self._home).parts) >= _DEEP
            if self._home in prefix.parents
            else len(prefix.parts) > _DEEP - 1
        )
        return prefix if is_deep or _is_of_one(prefix) else file

    def _interpreter(self, file: Path) -> Path | None:
        """Return the program that a script's first line names."""
        try:
            with file.open("rb") as stream:
                first = stream.read(_SHEBANG_BYTES).partition(b"\n")[0]
        except OSError:
            return None
        if not first.startswith(b"#!"):
            return None
        words = first[2:].decode("utf-8", "replace").split()
        if words and Path(words[0]).name == "env":
            words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
        found = shutil.which(words[0], path=self._search_path) if words else None
        return Path(found) if found and Path(found).is_absolute() else None


def _is_of_one(prefix: Path) -> bool:
    return any((prefix / name).exists() for name in _OF_ONE)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # too long for a name, or not for us to look at
        return False


def _refuse_shim(program: Path) -> None:
    """Raise ConfigurationError for a version manager's shim, naming the folder that is needed."""
    manager = _manager(program)
    if manager:
        raise ConfigurationError(
            f"`{program}` is a shim of {manager}, which a coding agent's sandbox does not have",
            f"put the folder of the program itself (`{manager} which {program.name}` prints where "
            "it is) first in PATH, or give the program's full name in `agent_command`",
        )


def _manager(program: Path) -> str:
    """Return the version manager whose shim a program is, "" if it is not a shim."""
    target = program.resolve().name
    if target == _VOLTA:
        return "volta"
    if target in _MANAGERS and program.is_symlink() and program.name != target:
        return target
    try:
        with program.open("rb") as stream:
            text = stream.read(_SCRIPT_BYTES)
    except OSError:
        return ""
    start = _STARTS.search(text.decode("utf-8", "replace")) if text.startswith(b"#!") else None
    return start[1] if start else ""
