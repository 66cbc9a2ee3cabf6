"""A source's own modules and attributes, and the check of dotted paths into modules."""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from agent.source import allowed
from agent.source.allow_lists import TRAINING, AllowList
from agent.source.names import Names

What: TypeAlias = Literal[
    "import", "builtin", "harness", "module", "attribute", "reflection", "uninspectable", "unread"
]

DUNDER: Final = re.compile(r"__[A-Za-z0-9_]+?__")
# Methods that turn a name into an attribute of a module; classes that do so with keys.
_REGISTERING = frozenset({"add_module", "register_buffer", "register_module", "register_parameter"})
_KEYED = frozenset({"ModuleDict", "namedtuple"})


@dataclass(frozen=True, slots=True)
class Own:
    """The source's own modules by name, and the attributes that it defines.

    `reached` are all names that a file may look up in another file. `allowed` is the allow-list of
    the task's kind.
    """

    modules: Mapping[str, Sequence[Names]]
    attributes: frozenset[str]
    reached: frozenset[str]
    allowed: AllowList = TRAINING

    def path_finding(self, path: str) -> What | None:
        """Return the kind of finding for a dotted path from an imported module, None if allowed."""
        parts = path.split(".")
        root = parts[0]
        if root in self.modules and root not in self.allowed.modules:
            name = parts[1] if len(parts) > 1 else ""
            if DUNDER.search(name):
                return "reflection"
            return "module" if any(one.is_path_bound(name) for one in self.modules[root]) else None
        if root in allowed.OWN_PACKAGES:
            return "harness"
        at = root
        for name in [*parts[1:], ""]:
            if at not in self.allowed.modules:
                return "module"
            if not name:
                return None
            if name not in self.allowed.modules[at]:
                is_switch = any(f"{one}.".startswith(f"{at}.{name}.") for one in allowed.SWITCHES)
                is_harness = root in allowed.HARNESS
                return None if is_switch else "harness" if is_harness else "module"
            if f"{at}.{name}" not in self.allowed.modules:
                return None  # a value: its attributes are checked elsewhere
            at = f"{at}.{name}"
        return None

    def is_module(self, path: str) -> bool:
        """Return whether a path is a module: an allowed one or the source's own."""
        return path in self.allowed.modules or path in self.modules


def defined_in(module: ast.Module) -> Iterator[str]:
    """Yield the names of the attributes that a file defines."""
    for node in ast.walk(module):
        match node:
            case ast.Attribute(attr=name, ctx=ast.Store()):
                yield name
            case ast.ClassDef(body=body):
                yield from _held(body)
            case ast.Call(
                func=ast.Name(id="setattr"), args=[_, ast.Constant(value=str() as name), _]
            ):
                yield name
            case ast.Call(
                func=ast.Attribute(attr=method), args=[ast.Constant(value=str() as name), *_]
            ) if method in _REGISTERING:
                yield name
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in _KEYED:
                yield from _keys(node)


def reached_in(module: ast.Module) -> Iterator[str]:
    """Yield the names that a file may look up in a value or a module."""
    for node in ast.walk(module):
        match node:
            case ast.Attribute(attr=name) | ast.Constant(value=str() as name):
                yield name
            case ast.ImportFrom(names=names):
                yield from (alias.name for alias in names)
            case ast.MatchClass(kwd_attrs=names):
                yield from names


def _held(body: list[ast.stmt]) -> Iterator[str]:
    """Yield the names that a class body defines, inside `if` and `try` as well."""
    for statement in body:
        match statement:
            case (
                ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
                | ast.ClassDef(name=name)
            ):
                yield name
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.Assign(targets=targets):
                for target in targets:
                    for part in ast.walk(target):
                        if isinstance(part, ast.Name):
                            yield part.id
                        elif isinstance(part, ast.Constant) and isinstance(part.value, str):
                            yield part.value
                if any(isinstance(one, ast.Name) and one.id == "__slots__" for one in targets):
                    yield from _texts(statement.value)
            case ast.If(body=inner, orelse=other):
                yield from _held([*inner, *other])
            case ast.Try(body=inner, orelse=other, finalbody=last):
                yield from _held([*inner, *other, *last])


def _keys(call: ast.Call) -> Iterator[str]:
    """Yield the keys of dicts in a `ModuleDict({...})` call, or the fields of a namedtuple."""
    for part in ast.walk(call):
        if isinstance(part, ast.Dict):
            for key in part.keys:
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    yield key.value
        elif isinstance(part, ast.Call):
            yield from (keyword.arg for keyword in part.keywords if keyword.arg)
    for argument in call.args[1:]:
        for text in _texts(argument):
            yield from text.replace(",", " ").split()


def _texts(node: ast.expr) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value
