"""Distributions of Python that a task names, as its candidates' sandboxes show them.

They are this environment's own, each with all that it needs and that is here, read-only beside what
every sandbox shows. What is shown depends on versions, so a task's manifest names them by a hash.
"""

import functools
import re
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath
from typing import Final

from protocol.errors import ConfigurationError
from trainer.sandbox.visible import VisiblePath, visible_tree

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# They are a stranger's words, and stand in a command that people are told to type.
_LOCKED: Final = re.compile(_NAME.pattern + r"==[A-Za-z0-9.!+_-]+")
_OF_EXTRAS: Final = re.compile(r"\bextra\s*==")
_METADATA: Final = ("METADATA", "entry_points.txt")  # the rest says where it came from
_MODULES: Final = (".py", ".so")
_OURS: Final = "arnode"
_MOST: Final = 300


@functools.cache
def shown_packages(names: tuple[str, ...]) -> tuple[VisiblePath, ...]:
    """Return what some distributions show beside `visible_tree`.

    Raises ConfigurationError if one is not here.
    """
    known = {binding.inside for binding in visible_tree().bindings} if names else set()
    shown: dict[str, VisiblePath] = {}
    for one in _closure(names).values():
        for path in _top_paths(one):
            inside = f"/packages/{path}"
            host = Path(str(one.locate_file(path)))
            if inside not in known and host.exists():
                shown.setdefault(inside, VisiblePath(host, inside))
    return tuple(shown.values())


def lock_of(names: tuple[str, ...]) -> bytes:
    """Return what some distributions are here, with all that they need: lines of `NAME==VERSION`,
    of which a manifest has the hash. Raises ConfigurationError if one is not here.
    """
    lines = [f"{name}=={one.version}\n" for name, one in sorted(_closure(names).items())]
    return "".join(lines).encode()


def locked(lock: bytes) -> tuple[str, ...]:
    """Return the distributions of somebody's lock. Raises ConfigurationError if these are others
    than are here.
    """
    wanted = lock.decode("utf-8", "replace").splitlines()
    names = tuple(line.partition("==")[0] for line in wanted)
    if len(names) > _MOST or not all(map(_LOCKED.fullmatch, wanted)):
        raise ConfigurationError("a task whose list of packages is none", "nobody can run it")
    here = set(lock_of(names).decode().splitlines())
    if others := [line for line in wanted if line not in here]:
        raise ConfigurationError(
            f"this task needs other versions of Python packages: {', '.join(others[:5])}",
            f"install them into arnode's environment: `pip install {' '.join(others)}`",
        )
    return names


def _closure(names: Iterable[str]) -> dict[str, Distribution]:
    """Return distributions with all that they need, by name; what is not here they do without."""
    found: dict[str, Distribution] = {}
    waiting = [(name, True) for name in names]
    while waiting:
        name, is_asked_for = waiting.pop()
        name = re.sub(r"[-_.]+", "-", name).lower()
        if name in found or name == _OURS:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError as error:
            if is_asked_for:
                raise ConfigurationError(
                    f"this task needs the Python package {name}, which is not installed here",
                    f"install it into arnode's environment: `pip install {name}`",
                ) from error
            continue
        if len(found) > _MOST:
            raise ConfigurationError("a task that needs too many packages", f"at most {_MOST}")
        waiting += [(needed, False) for needed in _needed(found[name])]
    return found


def _needed(one: Distribution) -> Iterator[str]:
    for requirement in one.requires or ():
        named = _NAME.match(requirement)
        if named and not _OF_EXTRAS.search(requirement):
            yield named[0]


def _top_paths(one: Distribution) -> list[str]:
    """Return the modules and folders of a distribution that are imported by name, and what it says
    of itself."""
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
