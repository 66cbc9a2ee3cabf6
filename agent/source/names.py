"""Which module a name of a file stands for: followed through imports and plain assignments.

Flow and scopes are not followed: a name that is bound to a module anywhere counts as that module
everywhere in the file, and may stand for several. Knows nothing of what is allowed.
"""

import ast
from collections.abc import Iterator

_ROUNDS = 8  # how many plain assignments in a row are followed
_PATHS = 8  # how many modules one name may stand for


class Names:
    """The names of one file and the dotted paths they stand for."""

    def __init__(self, module: ast.Module) -> None:
        self._paths: dict[str, set[str]] = {}
        self._modules: set[str] = set()
        self._bound: set[str] = set()
        followed: list[tuple[str, ast.expr]] = []
        for node in ast.walk(module):
            match node:
                case ast.Import():
                    for alias in node.names:
                        self._import(alias)
                case ast.ImportFrom(module=str() as parent):
                    for alias in node.names:
                        name = alias.asname or alias.name
                        self._paths.setdefault(name, set()).add(f"{parent}.{alias.name}")
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    followed.append((name, value))
                    self._bound.add(name)
                case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                    self._bound.add(name)
        self._follow(followed)

    def paths(self, node: ast.expr) -> Iterator[str]:
        """Yield the dotted paths that an expression `name.attribute…` may stand for."""
        root, attributes = chain_of(node)
        for path in sorted(self._paths.get(root, ())):
            yield ".".join([path, *attributes])

    def is_module(self, name: str) -> bool:
        """Say whether a name is bound by `import`: it is a module for certain."""
        return name in self._modules

    def is_bound(self, name: str) -> bool:
        """Say whether a name is assigned to or an argument somewhere."""
        return name in self._bound

    @staticmethod
    def is_followed(node: ast.AST) -> bool:
        """Say whether a module that stands alone in this statement keeps being followed."""
        match node:
            case ast.Assign(targets=[ast.Name()]):
                return True
        return False

    def _import(self, alias: ast.alias) -> None:
        root = alias.name.split(".")[0]
        name, path = (alias.asname, alias.name) if alias.asname else (root, root)
        self._paths.setdefault(name, set()).add(path)
        self._modules.add(name)

    def _follow(self, assignments: list[tuple[str, ast.expr]]) -> None:
        for _ in range(_ROUNDS):
            before = sum(map(len, self._paths.values()))
            for name, value in assignments:
                for path in list(self.paths(value)):
                    known = self._paths.setdefault(name, set())
                    if len(known) < _PATHS:
                        known.add(path)
                if isinstance(value, ast.Name) and value.id in self._modules:
                    self._modules.add(name)
            if sum(map(len, self._paths.values())) == before:
                break


def chain_of(node: ast.expr) -> tuple[str, list[str]]:
    """Return the name and the attributes of `name.a.b`; of anything else the name is empty."""
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.append(node.attr)
        node = node.value
    return (node.id if isinstance(node, ast.Name) else ""), attributes[::-1]
