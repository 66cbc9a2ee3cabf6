"""The meaning of a file's names: dotted paths of modules and their contents, or other values.

Scopes are Python's own. Control flow is not followed: within its scope, a name stands for
everything it is ever bound to. After a plain assignment such as `a = b` or `a = b.c`, `a` stands
for the paths of the right-hand side too. This module does not know what is allowed.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

# Limits of what a name may stand for; beyond them it counts as unclear.
_PATHS = 64
_PARTS = 8

Kind: TypeAlias = Literal["module", "class", "function", "comprehension"]
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(slots=True)
class Binding:
    """The bindings of a name in one scope: paths, plainly assigned values, and others."""

    paths: set[str] = field(default_factory=set)
    values: list[ast.expr] = field(default_factory=list)
    others: int = 0  # number of bindings of any other kind
    is_unclear: bool = False

    @property
    def is_unknown(self) -> bool:
        """True if it is bound to more than paths and plainly assigned values."""
        return self.others > 0


@dataclass(slots=True)
class NameScope:
    """A module, class, function or comprehension with the names that it binds."""

    kind: Kind
    parent: "NameScope | None"
    names: dict[str, Binding] = field(default_factory=dict)
    elsewhere: dict[str, Kind] = field(default_factory=dict)  # `global` and `nonlocal`
    depth: int = field(init=False)

    def __post_init__(self) -> None:
        self.depth = 0 if self.parent is None else self.parent.depth + 1

    @property
    def is_local(self) -> bool:
        """True if a name that is bound in this scope is never looked up in outer scopes."""
        return self.kind in {"function", "comprehension"}

    def owner(self, name: str) -> "NameScope":
        """Return the scope in which an assignment in this scope binds a name."""
        kind, scope = self.elsewhere.get(name), self
        while kind is not None and scope.parent is not None:
            scope = scope.parent
            if scope.kind == kind and (kind == "module" or name in scope.names):
                break
        return scope

    def bind(self, name: str) -> Binding:
        """Return the binding of a name here, creating it if needed."""
        return self.owner(name).names.setdefault(name, Binding())

    def found(self, name: str) -> Iterator[tuple["NameScope", Binding]]:
        """Yield the bindings that a name read here may have, the innermost first."""
        start = self.owner(name)
        scope: NameScope | None = start
        while scope is not None:
            if (scope is start or scope.kind != "class") and name in scope.names:
                yield scope, scope.names[name]
                if scope.is_local:
                    return
            scope = scope.parent
            if scope is not None and scope.is_local:
                scope = scope.owner(name)  # `global` in a function also holds inside it


class Names:
    """The names of one file and the dotted paths that they stand for."""

    def __init__(self, module: ast.Module) -> None:
        self.top = NameScope("module", None)
        self._scopes: dict[int, NameScope] = {}
        self._read: dict[int, list[ast.Name]] = {}  # by binding: the names that may refer to it
        self._plain: set[int] = set()  # names that are the only target of a plain assignment
        nodes: list[tuple[ast.AST, NameScope]] = []
        waiting: list[tuple[ast.AST, NameScope]] = [(node, self.top) for node in module.body]
        while waiting:  # without recursion, because untrusted expressions may be deep
            node, scope = waiting.pop()
            nodes.append((node, scope))
            self._scopes[id(node)] = scope
            if isinstance(node, ast.Global | ast.Nonlocal):
                kind: Kind = "module" if isinstance(node, ast.Global) else "function"
                scope.elsewhere |= dict.fromkeys(node.names, kind)
            waiting += _inside(node, scope)
        # Outer scopes first, because `nonlocal` looks for their bindings.
        for node, scope in sorted(nodes, key=lambda one: one[1].depth):
            if isinstance(node, ast.Assign) and len(node.targets) == 1:
                self._assign(node.targets[0], node.value, scope)
            self._bind(node, scope)
        for node, _ in nodes:
            if isinstance(node, ast.Name):
                for one in self._found(node):
                    self._read.setdefault(id(one), []).append(node)
        self._follow()

    def paths(self, node: ast.expr) -> set[str]:
        """Return the dotted paths that `name.attribute…` may stand for.

        `getattr(x, "name")` counts as `x.name`, also with a constant as its default.
        """
        root, attributes = self._chain_of(node)
        return {".".join([path, *attributes]) for one in self._found(root) for path in one.paths}

    def is_other(self, node: ast.expr) -> bool:
        """Return whether an expression may stand for something without a known path."""
        found = self._found(self._chain_of(node)[0])
        return not any(one.paths for one in found) or any(map(self._is_other, found))

    def is_local(self, node: ast.Name) -> bool:
        """Return whether an enclosing function binds a name: then it is never a builtin."""
        scopes = [scope for scope, _ in self._scopes[id(node)].found(node.id)]
        return any(scope.is_local for scope in scopes)

    def is_unclear(self, node: ast.Name) -> bool:
        """Return whether a name may have values that this analysis does not track."""
        return any(one.is_unclear for one in self._found(node))

    def is_bound(self, node: ast.Name) -> bool:
        """Return whether a name is bound in a scope that this read can see."""
        return bool(self._found(node))

    def is_path_bound(self, name: str) -> bool:
        """Return whether a top-level name of the file stands for a path."""
        return name in self.top.names and bool(self.top.names[name].paths)

    def values(self, node: ast.Name) -> list[ast.expr] | None:
        """Return all values plainly assigned to a name; None if it has other bindings."""
        found = self._found(node)
        is_plain = bool(found) and not any(one.paths or one.is_unknown for one in found)
        return [value for one in found for value in one.values] if is_plain else None

    def only(self, node: ast.AST, name: str) -> Binding | None:
        """Return a name's binding if a node sees just one and it is not in a class, else None."""
        found = list(self._scopes[id(node)].found(name))
        return found[0][1] if len(found) == 1 and found[0][0].kind != "class" else None

    def mentions(self, binding: Binding) -> list[ast.Name]:
        """Return every name of the file that may refer to a binding, including assignments."""
        return self._read.get(id(binding), [])

    def is_followed(self, node: ast.AST) -> bool:
        """Return whether the paths of a statement's right-hand side pass to its target."""
        return isinstance(node, ast.Assign) and id(node.targets[0]) in self._plain

    def _chain_of(self, node: ast.expr) -> tuple[ast.Name | None, list[str]]:
        """Return the name and the attributes of `name.a.b`; the name is None for others."""
        attributes: list[str] = []
        while True:
            match node:
                case ast.Attribute(value=inner, attr=name):
                    node = inner
                case ast.Call(
                    func=ast.Name(id="getattr") as function,
                    args=[inner, ast.Constant(value=str() as name)]
                    | [inner, ast.Constant(value=str() as name), ast.Constant()],
                    keywords=[],
                ) if not self._found(function):
                    node = inner
                case _:
                    return (node if isinstance(node, ast.Name) else None), attributes[::-1]
            attributes.append(name)

    def _found(self, root: ast.Name | None) -> list[Binding]:
        if root is None:
            return []
        return [one for _, one in self._scopes[id(root)].found(root.id)]

    def _is_other(self, binding: Binding) -> bool:
        return binding.is_unknown or any(
            not isinstance(value, ast.Constant) and not self.paths(value)
            for value in binding.values
        )

    def _assign(self, target: ast.expr, value: ast.expr, scope: NameScope) -> None:
        if isinstance(target, ast.Name):
            self._plain.add(id(target))
            scope.bind(target.id).values.append(value)

    def _bind(self, node: ast.AST, scope: NameScope) -> None:
        match node:
            case ast.Import():
                for alias in node.names:
                    root = alias.name.split(".")[0]
                    name, path = (alias.asname, alias.name) if alias.asname else (root, root)
                    scope.bind(name).paths.add(path)
            case ast.ImportFrom(module=str() as parent, level=0):
                for alias in node.names:
                    scope.bind(alias.asname or alias.name).paths.add(f"{parent}.{alias.name}")
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) if id(node) not in self._plain:
                scope.bind(name).others += 1
            case (
                ast.arg(arg=str() as name)
                | ast.FunctionDef(name=str() as name)
                | ast.AsyncFunctionDef(name=str() as name)
                | ast.ClassDef(name=str() as name)
                | ast.ExceptHandler(name=str() as name)
                | ast.MatchAs(name=str() as name)
                | ast.MatchStar(name=str() as name)
                | ast.MatchMapping(rest=str() as name)
            ):
                scope.bind(name).others += 1

    def _follow(self) -> None:
        scopes = {id(scope): scope for scope in self._scopes.values()}
        bindings = [one for scope in scopes.values() for one in scope.names.values()]
        is_changing = True
        while is_changing:
            is_changing = False
            for one in bindings:
                new = {path for value in one.values for path in self.paths(value)} - one.paths
                short = {path for path in new if path.count(".") < _PARTS}
                if len(short) < len(new) or len(one.paths | short) > _PATHS:
                    one.is_unclear = True
                elif short:
                    one.paths |= short
                    is_changing = True


def _inside(node: ast.AST, scope: NameScope) -> Iterator[tuple[ast.AST, NameScope]]:
    """Yield the direct children of a node, each with the scope in which it is evaluated."""
    own: tuple[ast.AST, ...] = ()
    if isinstance(node, _FUNCTIONS):
        inner = NameScope("function", scope)
        arguments = node.args
        parameters = [
            *(*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs),
            *filter(None, (arguments.vararg, arguments.kwarg)),
        ]
        for parameter in parameters:
            yield parameter, inner
        body = [node.body] if isinstance(node, ast.Lambda) else node.body
        for part in body:
            yield part, inner
        for default in (*arguments.defaults, *filter(None, arguments.kw_defaults)):
            yield default, scope
        own = (arguments, *body)
    elif isinstance(node, ast.ClassDef):
        inner = NameScope("class", scope)
        for part in node.body:
            yield part, inner
        own = tuple(node.body)
    elif isinstance(node, _COMPREHENSIONS):
        inner = NameScope("comprehension", scope)
        first = node.generators[0].iter
        yield first, scope
        for child in ast.iter_child_nodes(node):
            if child is not node.generators[0]:
                yield child, inner
        for child in ast.iter_child_nodes(node.generators[0]):
            if child is not first:
                yield child, inner
        return
    elif isinstance(node, ast.NamedExpr):
        outer = scope
        while outer.kind == "comprehension" and outer.parent:
            outer = outer.parent
        yield node.target, outer
        own = (node.target,)
    for child in ast.iter_child_nodes(node):
        if not any(child is part for part in own):
            # A parameter's annotation is evaluated in the scope around the function.
            is_annotation = isinstance(node, ast.arg) and scope.parent is not None
            yield child, scope.parent if is_annotation and scope.parent else scope
