"""A generator of agent/source/allow_list.json: what candidates may use of torch and numpy.

The list has the public names of the modules in tools/allow_list.toml and the attributes of their
classes, except those that this file denies. It applies to the installed versions. `python -m
tools.allow_list` writes the list. Its diff shows what an upgrade lets candidates use, so read it
before you commit it.
"""

import fnmatch
import importlib
import json
import sys
import tomllib
import types
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from agent.source.allowed import MODULES
from tools.paths import ROOT

RULES: Final = Path(__file__).with_suffix(".toml")
TARGET: Final = ROOT / "agent" / "source" / "allow_list.json"
PACKAGES: Final = ("numpy", "torch")
# Classes whose values a script gets without naming them: from a call, an attribute, a hook.
_HANDED_OUT: Final = (
    *(np.dtype, np.generic, np.ufunc, torch.Generator, torch.UntypedStorage, torch.TypedStorage),
    *(torch.autograd.function.FunctionCtx, torch.device, torch.dtype, torch.layout, torch.Size),
)


def versions() -> dict[str, str]:
    """Return the installed versions that the list is for, without build tags."""
    python = ".".join(map(str, sys.version_info[:2]))  # Enum's attributes differ between versions
    return {"python": python, **{one: version(one).split("+")[0] for one in PACKAGES}}


def allow_list() -> dict[str, Any]:
    """Return the list for the installed versions: names by module, attributes known and taken."""
    rules = tomllib.loads(RULES.read_text("utf-8"))
    modules = {path: sorted(_names(path, rules)) for path in rules["modules"]}
    reached = {name for kind in kinds(modules) for name in attributes_of(kind)}
    denied = matching(reached, " ".join(rules["attributes"]["denied"].values()))
    free = frozenset(rules["attributes"]["free"]["names"].split())
    also = frozenset(rules["attributes"]["also"].split())
    known = {name for name in reached if not name.startswith("_")} - denied - free
    return {
        "versions": versions(),
        "modules": modules,
        "known": sorted(known | also),
        "taken": sorted(reached - known - free - also),
    }


def kinds(modules: Mapping[str, Iterable[str]]) -> Iterator[type]:
    """Yield the classes on the allow-list, and the classes of values that they return."""
    listed = {path: names for path, names in MODULES.items() if path.split(".")[0] in PACKAGES}
    for path, names in {**listed, **modules}.items():
        module = importlib.import_module(path)
        values = (getattr(module, name, None) for name in names)
        yield from (value for value in values if isinstance(value, type))
    yield from _HANDED_OUT


def attributes_of(kind: type) -> set[str]:
    """Return the attributes of a class, without Python's own double-underscore names."""
    return {name for name in dir(kind) if not name.startswith("__")}


def text_of(found: Mapping[str, Any]) -> str:
    """Return the list as JSON with one name per line, so that a diff shows each."""
    return json.dumps(found, indent=1) + "\n"


def matching(names: Iterable[str], patterns: str) -> set[str]:
    """Return the names that match at least one of the patterns."""
    return {name for name in names for one in patterns.split() if fnmatch.fnmatchcase(name, one)}


def _names(path: str, rules: Mapping[str, Any]) -> set[str]:
    module = importlib.import_module(path)
    public = {
        name
        for name in getattr(module, "__all__", dir(module))
        if not name.startswith("_") and _is_own(getattr(module, name))
    }
    denied = " ".join(names.get(path, "") for names in rules["denied"].values())
    also = matching(dir(module), rules["also"].get(path, ""))
    return public - matching(public, denied) | also


def _is_own(value: object) -> bool:
    """Return True if a value is a constant, or a class or function of torch or numpy."""
    if isinstance(value, types.ModuleType):
        return False
    home = getattr(value, "__module__", None) if callable(value) else None
    return home is None or str(home).split(".")[0] in PACKAGES


if __name__ == "__main__":
    TARGET.write_text(text_of(allow_list()), "utf-8")
