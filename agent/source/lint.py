"""The walk over one file that yields everything beyond the allow-list."""

import ast
import builtins
import re
from collections.abc import Iterator
from typing import Final

from agent.source import allowed, calls
from agent.source.canonical import is_unused_text
from agent.source.imported_reach import DUNDER, Own, What
from agent.source.names import Names
from agent.source.options import Options
from agent.source.public_names import listed
from agent.source.tree import Tree

_REAL_BUILTINS: Final = listed("copyright credits exit help license quit").union(dir(builtins))
_PREFIX: Final = re.compile("[a-z][A-Za-z0-9_]{2}")  # no leading underscore, so never a dunder


class Lint:
    """A walk over one file that yields each finding and the node that shows it."""

    def __init__(self, module: ast.Module, names: Names, own: Own) -> None:
        self._module = module
        self._names = names
        self._own = own
        self._allowed = own.allowed.within(own.reached)
        # Values with extra power. `getattr` on one is flagged, except for modules that are tracked.
        self._unfollowed = frozenset({*own.allowed.uses, allowed.GET_KERNEL})
        self._more = frozenset({*own.allowed.modules, *self._unfollowed, "os.environ"})
        self._tree = Tree(module, own.allowed.read)
        self._parents = self._tree.parents
        self._options = Options(names, self._parents, own.reached)

    def run(self) -> Iterator[tuple[What, ast.AST]]:
        """Yield the kind of each finding, and the syntax node that it is about."""
        for node in ast.walk(self._module):
            for what, culprit in self._marks(node):
                yield what, self._tree.shown(culprit)

    def _marks(self, node: ast.AST) -> Iterator[tuple[What, ast.AST]]:
        match node:
            case ast.Import():
                for alias in node.names:
                    yield from ((what, node) for what in self._import_marks(alias.name))
            case ast.ImportFrom():
                yield from ((what, node) for what in self._from_marks(node))
            case ast.Attribute():
                yield from ((what, node) for what in self._attribute_marks(node))
            case ast.Name():
                yield from ((what, node) for what in self._name_marks(node))
            case ast.Call():
                yield from self._call_marks(node)
            case ast.Constant(value=str() | bytes()):
                yield from ((what, node) for what in self._text_marks(node))
            case ast.MatchClass():
                yield from ((what, node) for name in node.kwd_attrs for what in self._asks(name))
            case ast.ClassDef() if node.keywords:
                yield "reflection", node.keywords[0]
            case ast.keyword(arg=str() as name) | ast.arg(arg=name) if DUNDER.search(name):
                yield "reflection", node
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                if DUNDER.search(name) and not self._tree.is_fine_method(node):
                    yield "reflection", node
        for annotation in calls.annotations(node):
            if not calls.is_type(annotation):
                yield "reflection", annotation

    def _import_marks(self, path: str) -> Iterator[What]:
        finding = self._own.path_finding(path)
        if finding is not None:
            yield "import" if finding == "module" else finding
        elif path in {"os", "os.environ"} and not self._only_sets():
            yield "import"

    def _only_sets(self) -> bool:
        """Return whether the file uses `os` only for listed names and harmless settings."""
        nodes = [node for node in ast.walk(self._module) if isinstance(node, ast.Attribute)]
        chains = [node for node in nodes if "os.environ" in self._names.paths(node)]
        fine = {f"os.{name}" for name in self._allowed.modules["os"]}
        is_used = any(fine & self._names.paths(node) for node in nodes)
        return is_used and all(map(self._tree.is_setting, chains))

    def _from_marks(self, node: ast.ImportFrom) -> Iterator[What]:
        names = [alias.name for alias in node.names]
        if node.level or node.module is None or "*" in names:
            yield "import"
            return
        for name in names:
            yield from self._import_marks(f"{node.module}.{name}")

    def _attribute_marks(self, node: ast.Attribute) -> Iterator[What]:
        bases = [
            path for path in self._names.paths(node.value) if self._own.path_finding(path) is None
        ]
        is_store = not isinstance(node.ctx, ast.Load)
        for path in bases:
            if self._own.is_module(path):
                finding = self._own.path_finding(f"{path}.{node.attr}")
                if finding is not None and not self._is_printed_to(f"{path}.{node.attr}", node):
                    yield finding
            else:
                yield from self._asks(node.attr, node)
            if is_store and not self._is_switch(f"{path}.{node.attr}", node):
                yield "harness"
        if not bases and self._names.paths(node.value):
            return  # the expression before the dot is flagged itself
        if not bases or self._names.is_other(node.value):
            yield from self._asks(node.attr, node)
        own = [path for path in bases if path.split(".")[0] in self._own.modules]
        if is_store and own and node.attr in _REAL_BUILTINS:
            yield "harness"  # another file of the source would call it instead of the builtin
        if is_store and calls.is_call_of(node.value, "type"):
            yield "harness"
        yield from self._alone_marks(node)

    def _asks(self, name: str, node: ast.Attribute | None = None) -> Iterator[What]:
        """Yield a finding if an attribute of this name may not be used here."""
        parent = None if node is None else self._parents.get(id(node))
        if DUNDER.search(name):
            is_store = node is not None and not isinstance(node.ctx, ast.Load)
            is_name_of = isinstance(parent, ast.Attribute) and parent.attr == "__name__"
            if is_store or not (
                name in allowed.DUNDER_ATTRIBUTES or (name == "__class__" and is_name_of)
            ):
                yield "reflection"
        elif name == "format":
            if node is None or not (
                calls.is_called(node, parent) and calls.is_plain_format(parent, node.value)
            ):
                yield "reflection"
        elif name not in self._allowed.known and (
            name in self._allowed.taken or name not in self._own.attributes
        ):
            yield "attribute"
        elif name == allowed.COMPILE_METHOD:
            use = allowed.USES["torch.compile"]
            if (
                not (isinstance(parent, ast.Call) and calls.is_called(node, parent))
                or parent.args
                or not calls.is_within(parent, use, self._options)
            ):
                yield "reflection"

    def _name_marks(self, node: ast.Name) -> Iterator[What]:
        name, parent = node.id, self._parents[id(node)]
        if DUNDER.fullmatch(name):
            is_load = isinstance(node.ctx, ast.Load)
            if name not in (allowed.DUNDER_NAMES if is_load else allowed.DUNDER_STORES):
                yield "reflection"
            return
        if not isinstance(node.ctx, ast.Load):
            return
        if name in _REAL_BUILTINS and not self._names.is_local(node):
            yield from self._builtin_marks(node, parent)
        if self._names.is_unclear(node):
            yield "module"
        yield from self._alone_marks(node)

    def _builtin_marks(self, node: ast.Name, parent: ast.AST) -> Iterator[What]:
        """Yield a finding for a name that is, or at some moment may be, a builtin."""
        name = node.id
        if name == "input" and self._names.is_bound(node) and not calls.is_called(node, parent):
            return  # a common variable name; the builtin does something only when called
        if name not in self._allowed.builtins:
            yield "builtin"
        elif name in {*allowed.BY_NAME, "super", "type"} and not calls.is_called(node, parent):
            yield "reflection"

    def _alone_marks(self, node: ast.Attribute | ast.Name | ast.Call) -> Iterator[What]:
        """Yield a finding if a module or a restricted function is used as a value, not called."""
        parent = self._parents[id(node)]
        is_load = isinstance(node, ast.Call) or isinstance(node.ctx, ast.Load)
        if not is_load or self._names.is_followed(parent):
            return
        is_fine = isinstance(parent, ast.Attribute) or self._tree.is_tested(node)
        for path in self._names.paths(node):
            if (self._own.is_module(path) and not is_fine and not self._is_asked(node, parent)) or (
                path == "os.environ" and not self._tree.is_setting(node)
            ):
                yield "module"
            use = self._allowed.uses.get(path)
            if use is not None and not calls.is_called(node, parent):
                where = calls.place(node, parent, self._names)
                if where not in use.alone:
                    yield "reflection"

    def _call_marks(self, node: ast.Call) -> Iterator[tuple[What, ast.AST]]:
        function = node.func
        yield from ((what, node) for what in self._alone_marks(node))
        for path in self._names.paths(function):
            use = self._allowed.uses.get(path)
            if use is not None and not calls.is_within(node, use, self._options):
                yield "reflection", function
            if path == allowed.GET_KERNEL:
                for asked in calls.unlisted_kernels(node, self._names):
                    yield "import", asked
        for keyword in node.keywords:
            if keyword.arg == "kernel_options" and not calls.is_plain(keyword.value):
                yield "reflection", keyword
        if not isinstance(function, ast.Name) or self._names.is_local(function):
            return
        if function.id == "type" and not calls.is_of_one(node):
            yield "reflection", node
        if function.id in allowed.BY_NAME:
            yield from ((what, node) for what in self._named_marks(node, function.id))

    def _named_marks(self, node: ast.Call, function: str) -> Iterator[What]:
        """Yield the findings for `getattr(x, "name")` and similar calls, as for `x.name`."""
        name = calls.named(node)
        if name is None:
            if function not in {"getattr", "hasattr"} or not self._is_own_prefix(node):
                yield "reflection"
            return
        target = node.args[0]
        paths = self._names.paths(target)
        is_store = function in {"setattr", "delattr"}
        if is_store and paths:
            yield "harness"
        if DUNDER.search(name) or name in {"format", allowed.COMPILE_METHOD}:
            yield "reflection"
        elif function != "hasattr":
            for path in paths:
                if self._own.is_module(path):
                    yield from filter(None, [self._own.path_finding(f"{path}.{name}")])
                    is_followed = f"{path}.{name}" in self._names.paths(node)
                    if f"{path}.{name}" in (self._unfollowed if is_followed else self._more):
                        yield "module"
            if not paths or self._names.is_other(target):
                yield from self._asks(name)

    def _is_own_prefix(self, call: ast.Call) -> bool:
        """Return whether `getattr(self, f"prefix_{n}")` only reaches names a script may define."""
        target, prefix = call.args[0], calls.prefix(call)
        is_self = self._tree.is_of_self(target) and not self._names.paths(target)
        return (
            is_self
            and _PREFIX.match(prefix) is not None
            and not any(
                name.startswith(prefix) for name in {*self._allowed.taken, allowed.COMPILE_METHOD}
            )
        )

    def _text_marks(self, node: ast.Constant) -> Iterator[What]:
        text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")  # type: ignore[union-attr]
        harmless = {"__main__", *allowed.DUNDER_ATTRIBUTES, *allowed.DUNDER_STORES}
        if any(name not in harmless for name in DUNDER.findall(text)):
            parent = self._parents[id(node)]
            if not (isinstance(parent, ast.stmt) and is_unused_text(parent)):
                yield "reflection"

    def _is_switch(self, path: str, node: ast.Attribute) -> bool:
        if path.split(".", maxsplit=1)[0] in self._own.modules:
            return True
        match self._parents[id(node)]:
            case ast.Assign(value=value) if path in allowed.SWITCHES:
                return isinstance(value, ast.Constant) or path.startswith("torch.backends.")
        return False

    def _is_printed_to(self, path: str, node: ast.Attribute) -> bool:
        """Return whether a stream is only the target of a `print`, so no code gets hold of it."""
        keyword = self._parents[id(node)]
        match keyword, self._parents.get(id(keyword)):
            case ast.keyword(arg="file"), ast.Call(func=ast.Name(id="print") as function):
                return path in allowed.STREAMS and not self._names.is_bound(function)
        return False

    def _is_asked(self, node: ast.AST, parent: ast.AST) -> bool:
        """Return whether a module is only asked for a literal name, as in `getattr(m, "name")`."""
        match parent:
            case ast.Call(func=ast.Name(id=name) as function, args=[first, *_]) if first is node:
                is_builtin = name in allowed.BY_NAME and not self._names.is_bound(function)
                return is_builtin and calls.named(parent) is not None
        return False
