"""Python distributions that a task requires in its candidates' sandboxes.

They are installed in arnode's environment, or in one that was made for the task
(`trainer.program.environments`). Sandboxes show them read-only, in addition to the packages that
every sandbox shows. A task's manifest has the hash of their list: sorted lines of `NAME==VERSION`.
"""

import functools
import hashlib
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, packages_distributions
from pathlib import Path, PurePosixPath
from typing import Final

from protocol.errors import ConfigurationError
from trainer.sandbox.bytecode import hide_host_names
from trainer.sandbox.visible import PACKAGES, VisiblePath, visible_tree

# Inside arnode's environment: made for its Python, and readable by anyone who can read arnode.
ENVIRONMENTS: Final = Path(sys.prefix, "arnode-environments")

_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_VERSION: Final = r"==[A-Za-z0-9.!+_-]+"
# A list may be a peer's, and its lines become arguments of a command.
_LOCKED: Final = re.compile(_NAME + _VERSION)
_REQUIREMENT: Final = re.compile(f"({_NAME})(?:{_VERSION})?")
_OF_EXTRAS: Final = re.compile(r"\bextra\s*==")
_METADATA: Final = ("METADATA", "entry_points.txt")  # other metadata reveal how it was installed
_MODULES: Final = (".py", ".so")
_OURS: Final = "arnode"
_MOST: Final = 300


@dataclass(frozen=True, slots=True)
class Packages:
    """Distributions with all their dependencies. `lock` is their list, as lines of text.

    `folder` is the task's own environment, with the distributions that arnode's environment lacks;
    None if it lacks none.
    """

    lock: bytes = b""
    folder: Path | None = None

    @property
    def digest(self) -> bytes | None:
        """The hash of the list, for a manifest; None if the list is empty."""
        return hashlib.sha256(self.lock).digest() if self.lock else None


NO_PACKAGES: Final = Packages()


class PackagesMissing(ConfigurationError):  # noqa: N818 -- named after the fault, like related errors
    """Some required distributions are missing or have another version. `lines` lists them."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = tuple(lines)
        super().__init__(
            f"these required Python packages are not installed: {', '.join(self.lines[:5])}",
            f"install them into arnode's environment: `pip install {' '.join(self.lines)}`",
        )


@functools.cache
def shown_packages(packages: Packages) -> tuple[VisiblePath, ...]:
    """Return the paths of distributions that sandboxes show in addition to `visible_tree`."""
    known = {binding.inside for binding in visible_tree().bindings} if packages.lock else set()
    shown: dict[str, VisiblePath] = {}
    for line in packages.lock.decode().splitlines():
        one = _found(line.partition("==")[0], packages.folder)
        for path in () if one is None else _top_paths(one):
            inside = f"/packages/{path}"
            host = Path(str(one.locate_file(path))) if one else Path()
            if inside not in known and host.exists():
                shown.setdefault(inside, VisiblePath(host, inside))
    for binding in shown.values():
        hide_host_names(binding.host, binding.inside)
    return tuple(shown.values())


def installed(requirements: Iterable[str], folder: Path | None = None) -> Packages:
    """Return the distributions for `NAME` or `NAME==VERSION` in arnode's environment and `folder`.

    Raises PackagesMissing if one is not installed, ConfigurationError for a malformed requirement.
    """
    asked = {}
    for requirement in requirements:
        named = _REQUIREMENT.fullmatch(requirement)
        if named is None:
            raise ConfigurationError(
                f"{requirement!r} does not name a package", "write `NAME` or `NAME==VERSION`"
            )
        asked[_normal(named[1])] = requirement
    closure = _closure(asked, folder)
    missing = [
        requirement
        for name, requirement in asked.items()
        if name != _OURS and not _meets(closure.get(name), requirement)
    ]
    if missing:
        raise PackagesMissing(missing)
    lines = [f"{name}=={one.version}\n" for name, one in sorted(closure.items())]
    return Packages("".join(lines).encode(), folder)


def locked(lock: bytes) -> Packages:
    """Return the distributions of a list, as installed on this machine.

    Raises PackagesMissing with those that the task's own environment must provide. Raises
    ConfigurationError if the list is malformed, or no such environment can provide them.
    """
    lines = lock.decode("utf-8", "replace").splitlines()
    if not 0 < len(lines) <= _MOST or not all(map(_LOCKED.fullmatch, lines)):
        raise ConfigurationError(
            "the task's list of packages is malformed", "ask the task's author to fix it"
        )
    others = lacking(lines, None)
    if not others:
        return Packages(lock)
    if fixed := [line for line in others if _normal(line.partition("==")[0]) in shared_versions()]:
        raise ConfigurationError(
            f"this task needs other versions of arnode's packages: {', '.join(fixed)}",
            f"install them into arnode's environment: `pip install {' '.join(fixed)}`",
        )
    folder = environment_of(lock)
    if lacking(lines, folder):
        raise PackagesMissing(others)
    return Packages(lock, folder)


def lacking(lines: Iterable[str], folder: Path | None) -> list[str]:
    """Return the lines of a list that neither `folder` nor arnode's environment satisfies."""
    return [line for line in lines if not _meets(_found(line.partition("==")[0], folder), line)]


def environment_of(lock: bytes) -> Path:
    """Return the folder for the environment of a list, even if it does not exist."""
    return ENVIRONMENTS / hashlib.sha256(lock).hexdigest()[:32]


@functools.cache
def shared_versions() -> dict[str, str]:
    """Return the versions of the distributions that every sandbox shows, by name."""
    owners = packages_distributions()
    names = {_normal(name) for module in PACKAGES for name in owners.get(module, ())}
    found = {name: _found(name, None) for name in sorted(names)}
    return {name: one.version for name, one in found.items() if one is not None}


def _closure(names: Iterable[str], folder: Path | None) -> dict[str, Distribution]:
    """Return distributions with all their dependencies, by name; skip those not installed."""
    found: dict[str, Distribution] = {}
    waiting = [*names]
    while waiting:
        name = _normal(waiting.pop())
        if name in found or name == _OURS:
            continue
        one = _found(name, folder)
        if one is None:
            continue
        found[name] = one
        if len(found) > _MOST:
            raise ConfigurationError("the task needs too many packages", f"name at most {_MOST}")
        waiting += _needed(one)
    return found


def _found(name: str, folder: Path | None) -> Distribution | None:
    """Return a distribution from `folder`, or else from arnode's environment."""
    for path in ([str(folder)], sys.path) if folder else (sys.path,):
        one = next(iter(Distribution.discover(name=name, path=path)), None)
        if one is not None:
            return one
    return None


def _meets(one: Distribution | None, requirement: str) -> bool:
    version = requirement.partition("==")[2]
    return one is not None and version in ("", one.version)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _needed(one: Distribution) -> Iterator[str]:
    for requirement in one.requires or ():
        named = re.match(_NAME, requirement)
        if named and not _OF_EXTRAS.search(requirement):
            yield named[0]


def _top_paths(one: Distribution) -> list[str]:
    """Return a distribution's top-level modules and folders, and its metadata files."""
    found: dict[str, None] = {}
    for file in one.files or ():
        path = PurePosixPath(str(file))
        first, *rest = path.parts
        if first.endswith(".dist-info"):
            if len(rest) == 1 and rest[0] in _METADATA:
                found[str(path)] = None
        elif first not in ("..", "__pycache__") and (rest or path.suffix in _MODULES):
            found[first] = None
    return list(found)
