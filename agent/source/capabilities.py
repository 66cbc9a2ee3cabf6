"""The capability lint: what a source does beyond arithmetic, found by reading its AST.

An allow-list. Of modules only the names may be used that training needs (`agent.source.allowed`),
of values only the attributes that arithmetic needs or that the script itself defines
(`agent.source.attributes`), of builtins only those that reach nothing; with none of them does a
string become a name or code. All else is marked. It is hygiene for code that may one day leave the
sandbox in somebody's hands, never the boundary: what it does not mark may still be hostile. Pure;
it parses, so that a stranger's source is read in the inspector's process only.
"""

import ast
import builtins
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from agent.source import allowed, calls
from agent.source.attributes import KNOWN, TAKEN
from agent.source.canonical import is_unused_text, parse, syntax_fault
from agent.source.defined import defined_in
from agent.source.names import Names
from protocol.source import Source

What: TypeAlias = Literal[
    "import", "builtin", "harness", "module", "attribute", "reflection", "uninspectable"
]

_KINDS: tuple[What, ...] = get_args(What)  # of several reasons for one mark the first is named
_DUNDER = re.compile(r"__[A-Za-z0-9_]+?__")
_REAL_BUILTINS = frozenset(dir(builtins)) | {
    "copyright",
    "credits",
    "exit",
    "help",
    "license",
    "quit",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing beyond arithmetic: where (lines count from 1), which kind, the code in question."""

    path: str
    line: int
    what: What
    text: str


def findings(source: Source) -> tuple[Finding, ...]:
    """Return everything in the Python files of a source that is marked, in the order of lines."""
    files = [(path, data) for path, data in source.files if path.endswith(".py")]
    read = {
        path: (module, Names(module)) for path, data in files if (module := parse(data)) is not None
    }
    modules: dict[str, list[Names]] = {}
    for path, (_, names) in read.items():
        modules.setdefault(path.removesuffix(".py").split("/")[0], []).append(names)
    own = _Own(
        modules=modules,
        attributes=frozenset(name for module, _ in read.values() for name in defined_in(module)),
    )
    return tuple(
        finding
        for path, data in files
        for finding in (
            _findings_in(path, *read[path], own) if path in read else [_unparsed(path, data)]
        )
    )


def beyond(found: Sequence[Finding], baseline: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return what is marked in a tree and not already, as often, in the task's baseline."""
    known = Counter((finding.what, finding.text) for finding in baseline)
    new: list[Finding] = []
    for finding in found:
        if known[finding.what, finding.text] > 0:
            known[finding.what, finding.text] -= 1
        else:
            new.append(finding)
    return tuple(new)


@dataclass(frozen=True, slots=True)
class _Own:
    """What the source itself brings: its modules by name, and the attributes it defines."""

    modules: Mapping[str, Sequence[Names]]
    attributes: frozenset[str]


def _unparsed(path: str, data: bytes) -> Finding:
    line, why = syntax_fault(data)
    text = f"not Python that can be parsed: {why}"
    return Finding(path=path, line=line, what="uninspectable", text=text)


def _findings_in(path: str, module: ast.Module, names: Names, own: _Own) -> list[Finding]:
    kinds: dict[tuple[int, str], set[What]] = {}
    for what, node in _Lint(module, names, own).run():
        kinds.setdefault((getattr(node, "lineno", 1), _text(node)), set()).add(what)
    return [
        Finding(path=path, line=line, what=min(whats, key=_KINDS.index), text=text)
        for (line, text), whats in sorted(kinds.items())
    ]


class _Lint:
    """Walks one file; yields what is marked and the node that shows it."""

    def __init__(self, module: ast.Module, names: Names, own: _Own) -> None:
        self._module = module
        self._names = names
        self._own = own
        self._parents = {
            id(child): node for node in ast.walk(module) for child in ast.iter_child_nodes(node)
        }

    def run(self) -> Iterator[tuple[What, ast.AST]]:
        for node in ast.walk(self._module):
            for what, culprit in self._marks(node):
                yield what, self._shown(culprit)

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
            case ast.keyword(arg=str() as name) | ast.arg(arg=name) if _DUNDER.search(name):
                yield "reflection", node
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                if _DUNDER.search(name) and not self._is_fine_method(node):
                    yield "reflection", node
        for annotation in calls.annotations(node):
            if not calls.is_type(annotation):
                yield "reflection", annotation

    def _import_marks(self, path: str) -> Iterator[What]:
        mark = self._path_mark(path)
        if mark is not None:
            yield "import" if mark == "module" else mark
        elif path in {"os", "os.environ"} and not self._only_sets():
            yield "import"

    def _only_sets(self) -> bool:
        """Say whether the file has `os` for nothing but harmless settings of the environment."""
        nodes = [node for node in ast.walk(self._module) if isinstance(node, ast.Attribute)]
        chains = [node for node in nodes if "os.environ" in self._names.paths(node)]
        return bool(chains) and all(map(self._is_setting, chains))

    def _from_marks(self, node: ast.ImportFrom) -> Iterator[What]:
        names = [alias.name for alias in node.names]
        if node.level or node.module is None or "*" in names:
            yield "import"
            return
        for name in names:
            yield from self._import_marks(f"{node.module}.{name}")

    def _attribute_marks(self, node: ast.Attribute) -> Iterator[What]:
        bases = [path for path in self._names.paths(node.value) if self._path_mark(path) is None]
        is_store = not isinstance(node.ctx, ast.Load)
        for path in bases:
            if self._is_module(path):
                mark = self._path_mark(f"{path}.{node.attr}")
                if mark is not None:
                    yield mark
            else:
                yield from self._asks(node.attr, node)
            if is_store and not self._is_switch(f"{path}.{node.attr}", node):
                yield "harness"
        if not bases and self._names.paths(node.value):
            return  # what it hangs on is marked
        if not bases or self._names.is_other(node.value):
            yield from self._asks(node.attr, node)
        if is_store and calls.is_call_of(node.value, "type"):
            yield "harness"
        yield from self._alone_marks(node)

    def _asks(self, name: str, node: ast.Attribute | None = None) -> Iterator[What]:
        """Mark a name that may not be asked of just any value."""
        parent = None if node is None else self._parents.get(id(node))
        if _DUNDER.search(name):
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
        elif name not in KNOWN and (name in TAKEN or name not in self._own.attributes):
            yield "attribute"
        elif name == allowed.COMPILE_METHOD:
            use = allowed.USES["torch.compile"]
            if (
                not (isinstance(parent, ast.Call) and calls.is_called(node, parent))
                or parent.args
                or not calls.is_within(parent, use)
            ):
                yield "reflection"

    def _name_marks(self, node: ast.Name) -> Iterator[What]:
        name, parent = node.id, self._parents[id(node)]
        if _DUNDER.fullmatch(name):
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
        """Mark a name that is, or at some moment may be, a builtin."""
        name = node.id
        if name == "input" and self._names.is_bound(node) and not calls.is_called(node, parent):
            return  # a variable that many have; what it is otherwise only reads when called
        if name not in allowed.BUILTINS:
            yield "builtin"
        elif name in {*allowed.BY_NAME, "super", "type"} and not calls.is_called(node, parent):
            yield "reflection"

    def _alone_marks(self, node: ast.Attribute | ast.Name) -> Iterator[What]:
        """Mark a module, or what may only be called in its own way, where it is handed on."""
        parent = self._parents[id(node)]
        if not isinstance(node.ctx, ast.Load) or self._names.is_followed(parent):
            return
        is_inner = isinstance(parent, ast.Attribute)
        for path in self._names.paths(node):
            if (self._is_module(path) and not is_inner and not self._is_asked(node, parent)) or (
                path == "os.environ" and not self._is_setting(node)
            ):
                yield "module"
            use = allowed.USES.get(path)
            if use is not None and not calls.is_called(node, parent):
                where = calls.place(node, parent, self._names)
                if where not in use.alone:
                    yield "reflection"

    def _call_marks(self, node: ast.Call) -> Iterator[tuple[What, ast.AST]]:
        function = node.func
        for path in self._names.paths(function):
            use = allowed.USES.get(path)
            if use is not None and not calls.is_within(node, use):
                yield "reflection", function
            if path == allowed.GET_KERNEL:
                for asked in calls.foreign_kernels(node, self._names):
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
        """Mark `getattr(x, "name")` and its like as `x.name` would be."""
        name = calls.named(node)
        if name is None:
            yield "reflection"
            return
        target = node.args[0]
        paths = self._names.paths(target)
        is_store = function in {"setattr", "delattr"}
        if is_store and paths:
            yield "harness"
        if _DUNDER.search(name) or name in {"format", allowed.COMPILE_METHOD}:
            yield "reflection"
        elif function != "hasattr":
            for path in paths:
                if self._is_module(path):
                    yield from filter(None, [self._path_mark(f"{path}.{name}")])
                    if f"{path}.{name}" in {*allowed.MODULES, *allowed.USES, allowed.GET_KERNEL}:
                        yield "module"
            if not paths or self._names.is_other(target):
                yield from self._asks(name)

    def _text_marks(self, node: ast.Constant) -> Iterator[What]:
        text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")  # type: ignore[union-attr]
        harmless = {"__main__", *allowed.DUNDER_ATTRIBUTES, *allowed.DUNDER_STORES}
        if any(name not in harmless for name in _DUNDER.findall(text)):
            parent = self._parents[id(node)]
            if not (isinstance(parent, ast.stmt) and is_unused_text(parent)):
                yield "reflection"

    def _path_mark(self, path: str) -> What | None:
        """Return how a dotted path from an imported module is marked as far as modules go."""
        parts = path.split(".")
        root = parts[0]
        if root in self._own.modules and root not in allowed.MODULES:
            name = parts[1] if len(parts) > 1 else ""
            if _DUNDER.search(name):
                return "reflection"
            return (
                "module"
                if any(one.is_path_bound(name) for one in self._own.modules[root])
                else None
            )
        if root in allowed.OWN_PACKAGES:
            return "harness"
        at = root
        for name in [*parts[1:], ""]:
            if at not in allowed.MODULES:
                return "module"
            if not name:
                return None
            if name not in allowed.MODULES[at]:
                is_switch = any(f"{one}.".startswith(f"{at}.{name}.") for one in allowed.SWITCHES)
                is_harness = root in allowed.HARNESS
                return None if is_switch else "harness" if is_harness else "module"
            if f"{at}.{name}" not in allowed.MODULES:
                return None  # a value: what is asked of it is not a path's affair
            at = f"{at}.{name}"
        return None

    def _is_module(self, path: str) -> bool:
        return path in allowed.MODULES or path in self._own.modules

    def _is_switch(self, path: str, node: ast.Attribute) -> bool:
        statement = self._parents[id(node)]
        if path.split(".", maxsplit=1)[0] in self._own.modules or not isinstance(
            statement, ast.Assign
        ):
            return path.split(".", maxsplit=1)[0] in self._own.modules
        is_safe = isinstance(statement.value, ast.Constant) or path.startswith("torch.backends.")
        return path in allowed.SWITCHES and is_safe

    def _is_setting(self, node: ast.expr) -> bool:
        """Say whether `os.environ` is only used to set one of the harmless settings to a word."""
        parent = self._parents[id(node)]
        above = self._parents.get(id(parent))
        match parent, above:
            case ast.Subscript(slice=name, ctx=ast.Store()), ast.Assign(value=value):
                return calls.is_setting(name, value)
            case ast.Attribute(attr="setdefault"), ast.Call(args=[name, value], keywords=[]):
                return calls.is_called(parent, above) and calls.is_setting(name, value)
        return False

    def _is_asked(self, node: ast.AST, parent: ast.AST) -> bool:
        """Say whether a module is only asked for a name that is written there."""
        if not isinstance(parent, ast.Call) or not isinstance(parent.func, ast.Name):
            return False
        is_builtin = parent.func.id in allowed.BY_NAME and not self._names.is_bound(parent.func)
        return is_builtin and parent.args[:1] == [node] and calls.named(parent) is not None

    def _is_fine_method(self, node: ast.AST) -> bool:
        is_method = isinstance(self._parents.get(id(node)), ast.ClassDef)
        return is_method and getattr(node, "name", "") in allowed.DUNDER_METHODS

    def _shown(self, node: ast.AST) -> ast.AST:
        """Return the code that says what is done: the whole chain, with its call or assignment."""
        shown = node
        while id(shown) in self._parents:
            parent = self._parents[id(shown)]
            is_chain = isinstance(parent, ast.Attribute | ast.Subscript) and parent.value is shown
            is_call = isinstance(parent, ast.Call) and parent.func is shown
            is_set = isinstance(parent, ast.Assign | ast.AugAssign) and parent.value is not shown
            if is_set:
                return parent
            if not isinstance(shown, ast.Attribute | ast.Name | ast.Subscript) or not (
                is_chain or is_call
            ):
                break
            shown = parent
        return shown


def _text(node: ast.AST) -> str:
    try:
        return ast.unparse(node)
    except (RecursionError, ValueError):
        return f"{type(node).__name__} too deep to show"
