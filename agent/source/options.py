"""The arguments that `**options` may pass to a call, found in dicts that no other code changes.

Three sources are accepted. The first is a dict written in place. The second is a name that only
stands for literals, is changed only at constant keys, and is passed on only by `**`, which copies.
The third is a function's own `**options`, if the function is only ever called by its name. Anything
else is not tracked. This module does not know what is allowed.
"""

import ast
from collections.abc import Collection, Mapping
from typing import Final, TypeAlias

from agent.source.names import Binding, Names

Entry: TypeAlias = tuple[str, ast.expr]
_Parents: TypeAlias = Mapping[int, ast.AST]
_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

_MOST: Final = 256  # expressions reached from one `**`


class Options:
    """A tracker for the `**options` of one file.

    It does not track names in `outside`, because other files may look them up.
    """

    def __init__(self, names: Names, parents: _Parents, outside: Collection[str]) -> None:
        self._names = names
        self._parents = parents
        self._outside = outside

    def entries(self, value: ast.expr) -> list[Entry] | None:
        """Return all keys and values that `**value` may pass; None if not all can be found."""
        entries: list[Entry] = []
        waiting, seen = [value], set[int]()
        for _ in range(_MOST):
            if not waiting:
                return entries
            found = self._step(waiting.pop(), seen)
            if found is None:
                return None
            entries += found[0]
            waiting += found[1]
        return None

    def _step(self, node: ast.expr, seen: set[int]) -> tuple[list[Entry], list[ast.expr]] | None:
        """Return the options listed in an expression, and expressions whose value it may have."""
        if (written := self._written(node)) is not None:
            return written, []
        if isinstance(node, ast.IfExp):
            return [], [node.body, node.orelse]
        if not isinstance(node, ast.Name) or node.id in self._outside:
            return None
        binding = self._names.only(node, node.id)
        if binding is None or binding.paths or binding.is_unclear:
            return None
        if id(binding) in seen:
            return [], []
        seen.add(id(binding))
        return self._handed(binding) if binding.is_unknown else self._changed(binding)

    def _written(self, node: ast.expr) -> list[Entry] | None:
        """Return the entries of a literal or `dict(…)`."""
        match node:
            case ast.Dict(keys=keys, values=values):
                entries = [
                    (key.value, value)
                    for key, value in zip(keys, values, strict=True)
                    if isinstance(key, ast.Constant) and isinstance(key.value, str)
                ]
                return entries if len(entries) == len(keys) else None
            case ast.Call(func=ast.Name(id="dict") as function, args=[], keywords=keywords):
                is_builtin = not self._names.is_bound(function) and "dict" not in self._outside
                return _named(keywords) if is_builtin else None
        return None

    def _changed(self, binding: Binding) -> tuple[list[Entry], list[ast.expr]] | None:
        """Return the entries set in a name's dicts, and the dicts themselves."""
        entries: list[Entry] = []
        for name in self._names.mentions(binding):
            if isinstance(name.ctx, ast.Store) or self._is_spread(name):
                continue
            change = self._change(name)
            if change is None:
                return None
            entries += change
        return entries, list(binding.values)

    def _change(self, name: ast.Name) -> list[Entry] | None:
        """Return the entries that `name["key"] = value` or `name.update(key=value)` sets."""
        parent = self._parents[id(name)]
        above = self._parents.get(id(parent))
        match parent, above:
            case ast.Subscript(
                value=value, slice=ast.Constant(value=str() as key), ctx=ast.Store()
            ), ast.Assign(targets=[target], value=new) if value is name and target is parent:
                return [(key, new)]
            case ast.Attribute(attr="update"), ast.Call(func=function, args=[], keywords=keywords):
                is_alone = isinstance(self._parents.get(id(above)), ast.Expr)
                return _named(keywords) if function is parent and is_alone else None
            case ast.Attribute(attr="update"), ast.Call(func=function, args=[new], keywords=[]):
                is_alone = isinstance(self._parents.get(id(above)), ast.Expr)
                return self._written(new) if function is parent and is_alone else None
        return None

    def _handed(self, binding: Binding) -> tuple[list[Entry], list[ast.expr]] | None:
        """Return the entries of a function's `**options`, from all its calls."""
        mentions = self._names.mentions(binding)
        if binding.values or not all(map(self._is_spread, mentions)):
            return None
        function = self._function_of(mentions[0], binding)
        if function is None or binding.others != 1:
            return None
        parameters = {one.arg for one in (*function.args.args, *function.args.kwonlyargs)}
        called = self._calls(function)
        if called is None:
            return None
        keywords = [one for call in called for one in call.keywords if one.arg not in parameters]
        return (
            [(one.arg, one.value) for one in keywords if one.arg is not None],
            [one.value for one in keywords if one.arg is None],
        )

    def _function_of(self, name: ast.Name, binding: Binding) -> _Function | None:
        """Return the function with this name as its `**` parameter."""
        node: ast.AST | None = name
        while (node := self._parents.get(id(node))) is not None:
            if isinstance(node, _Function):
                kwarg = node.args.kwarg
                if kwarg is not None and self._names.only(kwarg, name.id) is binding:
                    return node if kwarg.arg == name.id else None
        return None

    def _calls(self, function: _Function) -> list[ast.Call] | None:
        """Return every call of a function; None if it is used as a value, or called by others."""
        if isinstance(function, ast.Lambda):
            holder: ast.AST = function
            while isinstance(parent := self._parents[id(holder)], ast.IfExp):
                if holder is parent.test:
                    return None
                holder = parent
            if not self._names.is_followed(parent) or not isinstance(parent, ast.Assign):
                return None
            target = parent.targets[0]
            name = target.id if isinstance(target, ast.Name) else ""
        elif function.decorator_list:
            return None
        else:
            holder, name = function, function.name
        binding = self._names.only(holder, name)
        if binding is None or name in self._outside:
            return None
        calls: list[ast.Call] = []
        for mention in self._names.mentions(binding):
            if not isinstance(mention.ctx, ast.Load):
                continue
            parent = self._parents[id(mention)]
            if not isinstance(parent, ast.Call) or parent.func is not mention:
                return None
            calls.append(parent)
        return calls

    def _is_spread(self, name: ast.Name) -> bool:
        parent = self._parents[id(name)]
        return isinstance(parent, ast.keyword) and parent.arg is None


def _named(keywords: list[ast.keyword]) -> list[Entry] | None:
    """Return the arguments by their names; None if there may be others."""
    found = [(one.arg, one.value) for one in keywords if one.arg is not None]
    return found if len(found) == len(keywords) else None
