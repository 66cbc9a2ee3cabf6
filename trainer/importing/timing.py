"""Decides from an evaluator's code if its score depends on measured time.

Values read from clocks are traced by name through assignments, calls, containers and conditions.
If one table key or attribute is timed, all keys and attributes of the same name count as timed. So
a figure may count as timed although it is not, which never makes a ranking wrong. Code may also
hide a timed figure from this trace. Then its variation appears on the leaderboard as noise.
"""

import ast
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

_CLOCKS: Final = frozenset(
    {"clock", "default_timer", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"}
    | {"process_time", "process_time_ns", "thread_time", "time_ns", "timeit"}
)
_ADDING: Final = frozenset({"add", "append", "extend", "insert", "update"})
_ALL: Final = -1  # a function's whole result, not one item of a tuple
_MOST_ROUNDS: Final = 20


def timed_figures(trees: Iterable[ast.Module]) -> frozenset[str]:
    """Return the keys and attributes in an evaluator's modules that contain measured time."""
    followed = _Followed(list(trees))
    for _ in range(_MOST_ROUNDS):
        before = followed.size
        followed.follow()
        if followed.size == before:
            break
    return frozenset(followed.keys)


class _Followed:
    """The variables, keys and function results known to contain measured time."""

    def __init__(self, trees: list[ast.Module]) -> None:
        self.keys: set[str] = set()
        self._trees = trees
        self._names: set[tuple[str, str]] = set()
        self._returned: defaultdict[str, set[int]] = defaultdict(set)
        self._functions = {
            node.name: node
            for tree in trees
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }

        # A call of a function without tables is timed only if one of its arguments is.
        self._passing = {name for name, one in self._functions.items() if not _fills_tables(one)}

    @property
    def size(self) -> int:
        returned = sum(map(len, self._returned.values()))
        return len(self.keys) + len(self._names) + returned

    def follow(self) -> None:
        """Visit every statement once, and add the timed names found."""
        for tree in self._trees:
            self._block(tree.body, "", depends=False)

    def _block(self, body: Sequence[ast.stmt], scope: str, *, depends: bool) -> None:
        for one in body:
            self._statement(one, scope, depends=depends)

    def _statement(self, one: ast.stmt, scope: str, *, depends: bool) -> None:
        """Process a statement. `depends` is True if a measured time decides if it is executed."""
        match one:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._block(one.body, one.name, depends=False)
                return
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self._assign(target, value, scope, depends=depends)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self._assign(target, value, scope, depends=depends)
            case ast.AugAssign(target=target, value=value):
                self._assign(target, value, scope, depends=depends)
            case ast.For(target=target, iter=source):
                self._assign(target, source, scope, depends=False)
            case ast.Return(value=ast.Tuple(elts=items)):
                places = {at for at, item in enumerate(items) if self._holds(item, scope)}
                self._returned[scope] |= places
            case ast.Return(value=ast.expr() as value) if self._holds(value, scope):
                self._returned[scope].add(_ALL)
            case ast.If(test=test) | ast.While(test=test):
                depends = depends or self._holds(test, scope)
        for expression in ast.iter_child_nodes(one):
            if isinstance(expression, ast.expr):
                self._expression(expression, scope)
        for part in ("body", "orelse", "finalbody"):
            self._block(getattr(one, part, ()), scope, depends=depends)
        for handler in getattr(one, "handlers", ()):
            self._block(handler.body, scope, depends=depends)

    def _assign(self, target: ast.expr, value: ast.expr, scope: str, *, depends: bool) -> None:
        match target, value:
            case ((ast.Tuple() | ast.List()), ast.Tuple(elts=items)) if len(items) == len(
                target.elts
            ):
                for one, item in zip(target.elts, items, strict=True):
                    self._assign(one, item, scope, depends=depends)
                return
            case ((ast.Tuple() | ast.List()), ast.Call(func=ast.Name(id=name))) if (
                name in self._functions
            ):
                for at, one in enumerate(target.elts):
                    if depends or self._returned[name] & {at, _ALL}:
                        self._mark(one, scope)
                return
        if depends or self._holds(value, scope):
            self._mark(target, scope)

    def _mark(self, target: ast.expr, scope: str) -> None:
        match target:
            case ast.Name(id=name):
                self._names.add((scope, name))
            case ast.Subscript(slice=ast.Constant(value=str() as key)):
                self.keys.add(key)
            case ast.Subscript(value=value) | ast.Starred(value=value):
                self._mark(value, scope)
            case ast.Attribute(attr=name):
                self.keys.add(name)
            case ast.Tuple(elts=items) | ast.List(elts=items):
                for one in items:
                    self._mark(one, scope)

    def _expression(self, expression: ast.expr, scope: str) -> None:
        """Add the parameters and table keys to which an expression assigns timed values."""
        for node in ast.walk(expression):
            match node:
                case ast.Dict(keys=keys, values=values):
                    for key, value in zip(keys, values, strict=True):
                        if isinstance(key, ast.Constant) and self._holds(value, scope):
                            self.keys.add(str(key.value))
                case ast.Call(func=ast.Name(id=name)) if name in self._functions.keys() - (
                    self._passing
                ):
                    self._give(node, self._functions[name], scope)
                case ast.Call(func=ast.Attribute(attr=name, value=whose)) if name in _ADDING:
                    if any(self._holds(one, scope) for one in node.args):
                        self._mark(whose, scope)
                case ast.keyword(arg=str() as name, value=value) if self._holds(value, scope):
                    self.keys.add(name)
                case ast.comprehension(target=target, iter=source):
                    self._assign(target, source, scope, depends=False)

    def _give(
        self, call: ast.Call, function: ast.FunctionDef | ast.AsyncFunctionDef, scope: str
    ) -> None:
        taken = function.args
        places = [one.arg for one in (*taken.posonlyargs, *taken.args)]
        for name, value in zip(places, call.args, strict=False):
            if self._holds(value, scope):
                self._names.add((function.name, name))
        for given in call.keywords:
            if given.arg is not None and self._holds(given.value, scope):
                self._names.add((function.name, given.arg))

    def _holds(self, expression: ast.expr, scope: str) -> bool:
        """Return True if an expression's value contains measured time."""
        match expression:
            case ast.Name(id=name):
                return (scope, name) in self._names or ("", name) in self._names
            case ast.Subscript(slice=ast.Constant(value=str() as key)):
                return key in self.keys
            case ast.Attribute(attr=name, value=whose):
                return name in self.keys or self._holds(whose, scope)
            case ast.Call():
                return self._is_timed_call(expression, scope)
            case ast.Dict() | ast.JoinedStr() | ast.Lambda() | ast.Constant():
                return False
        parts = ast.iter_child_nodes(expression)
        return any(self._holds(one, scope) for one in parts if isinstance(one, ast.expr))

    def _is_timed_call(self, call: ast.Call, scope: str) -> bool:
        match call.func:
            case ast.Name(id=name) if self._returned.get(name):
                return True
            case ast.Name(id=name) if name in self._functions.keys() - self._passing:
                return False
            case ast.Name(id=name) if name in _CLOCKS:
                return True
            case ast.Attribute(attr="time", value=ast.Name(id="time")):
                return True
            case ast.Attribute(attr="now" | "utcnow"):
                return True
            case ast.Attribute(attr=name) if name in _CLOCKS:
                return True
            case ast.Attribute(attr="get", value=whose) if call.args:
                key = call.args[0]
                named = isinstance(key, ast.Constant) and str(key.value) in self.keys
                return named or self._holds(whose, scope)
            case ast.Attribute(value=whose) if self._holds(whose, scope):
                return True
        return any(self._holds(one, scope) for one in call.args) or any(
            self._holds(one.value, scope) for one in call.keywords
        )


def _fills_tables(function: ast.AST) -> bool:
    return any(
        isinstance(node, ast.Dict)
        or (isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store))
        for node in ast.walk(function)
    )
