"""The files of an installed program: its prefix, its interpreter's prefix, and links to them.

Coding agents are mostly installed below the user's home (npm, uv, pipx, a venv), of which an agent
sandbox shows only named parts. A prefix is a folder that belongs to the program alone. Without a
prefix, only the program's own file is shown. System files are always shown.

A version manager's shim (pyenv, nodenv, asdf, volta and mise put one first in PATH) is not the
program. It needs its manager, which an agent sandbox does not have. So a shim is rejected, with a
hint.
"""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protocol.errors import ConfigurationError

# Read-only in every agent sandbox, as far as they exist. Files in /etc are listed one by one: the
# agent sandbox of a node that runs as root could read passwords and private keys there, and shell
# startup files may contain keys of other services.
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
_MOST_LINKS = 40  # the kernel's own limit
_SHEBANG_BYTES = 256
# A folder with a `bin` at least this deep below the home belongs to one program, such as
# ~/.nvm/versions/node/v22. A less deep one may be shared by many, such as ~/.local, unless it
# contains one of these files.
_DEEP = 3
_OF_ONE = ("pyvenv.cfg", "conda-meta")

_SCRIPT_BYTES: Final = 4_096
_MANAGERS: Final = ("pyenv", "nodenv", "rbenv", "asdf", "mise", "rtx")
_STARTS: Final = re.compile(rf'exec\s+"?(?:[^\s"]*/)?({"|".join(_MANAGERS)})"?\s+(?:exec|x)\b')
_VOLTA: Final = "volta-shim"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """A program's absolute path, and the files and links that it needs outside the system folders.

    `paths` are its files and folders. `links` are the symbolic links that lead to them, as pairs of
    a link and its target text. A link inside one of `paths` is not listed.
    """

    program: str
    paths: tuple[Path, ...]
    links: tuple[tuple[Path, Path], ...]


def installation(words: Sequence[str], *, home: Path, search_path: str) -> Installation:
    """Return the installation of the program that a command starts.

    Other words of the command that are absolute paths of files, such as a script, are included.
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
    """Return the absolute path of a program. Raises ConfigurationError if it is not found."""
    name = str(home / word[2:]) if word.startswith("~/") else word
    found = shutil.which(name, path=search_path)
    if found is None:
        is_file = _is_file(Path(name))
        raise ConfigurationError(
            f"the program `{word}` {'may not be executed' if is_file else 'was not found'}",
            f"`chmod +x {name}`" if is_file else "install it, or give its full path",
        )
    if not Path(found).is_absolute():
        raise ConfigurationError(
            f"`{word}` depends on where the node was started", "give the program's full path"
        )
    return Path(found)


def is_in_any(path: Path, folders: Sequence[Path]) -> bool:
    """Return True if a path is one of the folders or lies below one."""
    return any(folder == path or folder in path.parents for folder in folders)


class _FileSearch:
    """A search that follows a program's links, its shebang and its interpreter's links."""

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
        """Return the file that an absolute path leads to, and record the links on the way."""
        file, waiting, links = Path("/"), [*reversed(path.parts[1:])], 0
        while waiting:
            part = waiting.pop()
            name = file.parent if part == ".." else file / part
            if not name.is_symlink() or links == _MOST_LINKS:
                file = name
                continue
            links += 1
            target = self.links[name] = name.readlink()
            # A virtual environment's `python` links out of it, but also needs the environment.
            if name.parent.name == "bin" and _is_of_one(name.parent.parent):
                self.paths.append(name.parent.parent)
            file = Path("/") if target.is_absolute() else file
            waiting += reversed(target.parts[target.is_absolute() :])
        return file

    def _prefix(self, file: Path) -> Path:
        """Return a program file's prefix, or the file itself if it has none."""
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
        """Return the program that a script's first line names, None if there is none."""
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
    except OSError:  # the name is too long, or we lack the permission
        return False


def _refuse_shim(program: Path) -> None:
    """Raise ConfigurationError for a version manager's shim, with a hint at the real program."""
    manager = _manager(program)
    if manager:
        raise ConfigurationError(
            f"`{program}` is a shim of {manager}, and a coding agent's sandbox has no {manager}",
            f"put the folder of the program itself (`{manager} which {program.name}` prints where "
            "it is) first in PATH, or give the program's full path in `agent_command`",
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
