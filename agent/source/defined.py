"""Which attributes a source gives its own values: what it sets, what its classes hold, its modules.

Knows nothing of what is allowed.
"""

import ast
from collections.abc import Iterator

# Methods of modules that make an attribute of a name; classes that make them of keys.
_REGISTERING = frozenset({"add_module", "register_buffer", "register_module", "register_parameter"})
_KEYED = frozenset({"ModuleDict", "namedtuple"})


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
    """Yield the names by which a file can ask anything, another module too, for what it holds."""
    for node in ast.walk(module):
        match node:
            case ast.Attribute(attr=name) | ast.Constant(value=str() as name):
                yield name
            case ast.ImportFrom(names=names):
                yield from (alias.name for alias in names)
            case ast.MatchClass(kwd_attrs=names):
                yield from names


def _held(body: list[ast.stmt]) -> Iterator[str]:
    """Yield what a class holds by its statements, within `if` and `try` as well."""
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
    """Yield the keys of `ModuleDict({...})` and `dict(a=...)` in it, the fields of a namedtuple."""
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
