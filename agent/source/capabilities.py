"""The capability lint: what a source does beyond arithmetic, found by reading its AST.

It marks imports beyond an allow-list, builtins that run or read, ways to reach other modules
(`torch.serialization.os`), reflection, files, and changes to the harness. It is hygiene for code
that may one day leave the sandbox in somebody's hands, never the boundary: what it does not mark
may still be hostile. Pure; it parses, so that a stranger's source is read in the inspector's
process only.
"""

import ast
import re
import string
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from agent.source import allowed
from agent.source.canonical import is_unused_text, parse, syntax_fault
from agent.source.names import Names
from protocol.source import Source

What: TypeAlias = Literal[
    "import", "builtin", "harness", "module", "file", "reflection", "uninspectable"
]

_KINDS: tuple[What, ...] = get_args(What)  # of several reasons for one mark the first is named
_DUNDER = re.compile(r"__[A-Za-z0-9_]+?__")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing beyond arithmetic: where (lines count from 1), which kind, the code in question."""

    path: str
    line: int
    what: What
    text: str


def findings(source: Source) -> tuple[Finding, ...]:
    """Return everything in the Python files of a source that is marked, in the order of lines."""
    roots = {path.removesuffix(".py").split("/")[0] for path, _ in source.files}
    return tuple(
        finding
        for path, data in source.files
        if path.endswith(".py")
        for finding in _findings_in(path, data, frozenset(roots))
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


def _findings_in(path: str, data: bytes, own_modules: frozenset[str]) -> list[Finding]:
    module = parse(data)
    if module is None:
        line, why = syntax_fault(data)
        text = f"not Python that can be parsed: {why}"
        return [Finding(path=path, line=line, what="uninspectable", text=text)]
    kinds: dict[tuple[int, str], set[What]] = {}
    for what, node in _Lint(module, own_modules).run():
        kinds.setdefault((getattr(node, "lineno", 1), _text(node)), set()).add(what)
    return [
        Finding(path=path, line=line, what=min(whats, key=_KINDS.index), text=text)
        for (line, text), whats in sorted(kinds.items())
    ]


class _Lint:
    """Walks one file; yields what is marked and the node that shows it."""

    def __init__(self, module: ast.Module, own_modules: frozenset[str]) -> None:
        self._module = module
        self._names = Names(module)
        self._own = own_modules
        self._parents = {
            id(child): node for node in ast.walk(module) for child in ast.iter_child_nodes(node)
        }

    def run(self) -> Iterator[tuple[What, ast.AST]]:
        for node in ast.walk(self._module):
            for what in self._marks(node):
                yield what, self._shown(node)

    def _marks(self, node: ast.AST) -> Iterator[What]:
        match node:
            case ast.Import():
                yield from self._import_marks([alias.name for alias in node.names])
            case ast.ImportFrom():
                yield from self._from_marks(node)
            case ast.Attribute():
                yield from self._attribute_marks(node)
            case ast.Name():
                yield from self._name_marks(node)
            case ast.Call():
                yield from self._call_marks(node)
            case ast.Constant(value=str() as text):
                yield from self._text_marks(node, text)
            case ast.Constant(value=bytes() as data):
                yield from self._text_marks(node, data.decode("latin-1"))
            case ast.MatchClass():
                yield from filter(None, map(_attribute_mark, node.kwd_attrs))

    def _import_marks(self, modules: Sequence[str]) -> Iterator[What]:
        for module in modules:
            mark = self._path_mark(module)
            if mark is not None:
                yield "import" if mark == "module" else mark

    def _from_marks(self, node: ast.ImportFrom) -> Iterator[What]:
        names = [alias.name for alias in node.names]
        if node.level or node.module is None or "*" in names:
            yield "import"
        else:
            yield from self._import_marks([f"{node.module}.{name}" for name in names])

    def _attribute_marks(self, node: ast.Attribute) -> Iterator[What]:
        mark = _attribute_mark(node.attr)
        if mark is not None:
            yield mark
        if node.attr in {"format", "format_map"} and not self._is_plain_format(node):
            yield "reflection"
        if isinstance(self._parents[id(node)], ast.Attribute):
            return  # the outermost attribute speaks for the chain
        yield from self._chain_marks(node, is_store=not isinstance(node.ctx, ast.Load))

    def _chain_marks(self, node: ast.expr, *, is_store: bool) -> Iterator[What]:
        for path in self._names.paths(node):
            mark = self._path_mark(path)
            if mark is not None:
                yield mark
            is_own = path.split(".")[0] in self._own
            if is_store and not is_own and not path.startswith(allowed.SWITCHES):
                yield "harness"

    def _name_marks(self, node: ast.Name) -> Iterator[What]:
        name = node.id
        parent = self._parents[id(node)]
        is_called = isinstance(parent, ast.Call) and parent.func is node
        if name in allowed.BUILTINS:
            yield "builtin"
        elif _DUNDER.fullmatch(name):
            is_store = isinstance(node.ctx, ast.Store)
            if name not in (allowed.DUNDER_STORES if is_store else allowed.DUNDER_NAMES):
                yield "reflection"
        if not isinstance(node.ctx, ast.Load):
            return
        is_builtin = is_called or not self._names.is_bound(name)
        if name in allowed.SHADOWED_BUILTINS and is_builtin:
            yield "builtin"
        if name in allowed.BY_NAME and not is_called:
            yield "reflection"
        if not isinstance(parent, ast.Attribute):
            yield from self._chain_marks(node, is_store=False)
            if self._names.is_module(name) and not self._names.is_followed(parent):
                yield "module"

    def _call_marks(self, node: ast.Call) -> Iterator[What]:
        if not isinstance(node.func, ast.Name) or node.func.id not in allowed.BY_NAME:
            return
        match node.args:
            case [target, ast.Constant(value=str() as name), *_] if not node.keywords:
                mark = _attribute_mark(name)
                if mark is not None:
                    yield mark
                reached = ast.Attribute(value=target, attr=name, ctx=ast.Load())
                changes = node.func.id in {"setattr", "delattr"}
                yield from self._chain_marks(reached, is_store=changes)
            case _:
                yield "reflection"

    def _text_marks(self, node: ast.Constant, text: str) -> Iterator[What]:
        harmless = {"__main__", *allowed.DUNDER_ATTRIBUTES, *allowed.DUNDER_STORES}
        if any(name not in harmless for name in _DUNDER.findall(text)):
            parent = self._parents[id(node)]
            if not (isinstance(parent, ast.stmt) and is_unused_text(parent)):
                yield "reflection"

    def _path_mark(self, path: str) -> What | None:
        """Return how a dotted path from an imported module is marked."""
        root, *rest = path.split(".")
        if root in self._own and root not in allowed.MODULES:
            return None
        if root in allowed.OWN_PACKAGES:
            return "harness"
        if root not in allowed.MODULES:
            return "module"
        if root in allowed.HARNESS and rest and rest[0] not in allowed.HARNESS[root]:
            return "harness"
        forbidden = allowed.WITHIN.get(root, frozenset())
        if any(name in forbidden or _is_private(name) for name in rest):
            return "module"
        if (
            root == "torch"
            and rest[:1] == ["utils"]
            and not allowed.TORCH_UTILS.issuperset(rest[1:2])
        ):
            return "module"
        return next(filter(None, map(_attribute_mark, rest)), None)

    def _is_plain_format(self, node: ast.Attribute) -> bool:
        """Whether it formats a literal whose fields reach into nothing."""
        parent = self._parents[id(node)]
        if not (isinstance(parent, ast.Call) and parent.func is node):
            return False
        match node.value:
            case ast.Constant(value=str() as text):
                try:
                    fields = [(name, spec) for _, name, spec, _ in string.Formatter().parse(text)]
                except ValueError:
                    return True  # it raises there too
                return not any(
                    {".", "["} & {*(name or "")} or "{" in (spec or "") for name, spec in fields
                )
        return False

    def _shown(self, node: ast.AST) -> ast.AST:
        """Return the code that says what is done: the whole chain, with its call or subscript."""
        shown = node
        while id(shown) in self._parents:
            parent = self._parents[id(shown)]
            is_chain = isinstance(parent, ast.Attribute | ast.Subscript) and parent.value is shown
            is_call = isinstance(parent, ast.Call) and parent.func is shown
            if not isinstance(shown, ast.Attribute | ast.Name) or not (is_chain or is_call):
                break
            shown = parent
        return shown


def _attribute_mark(name: str) -> What | None:
    if _DUNDER.fullmatch(name) and name not in allowed.DUNDER_ATTRIBUTES:
        return "reflection"
    if name in allowed.REFLECTIVE_ATTRIBUTES:
        return "reflection"
    if name.lstrip("_") in allowed.MODULE_ATTRIBUTES:
        return "module"
    return "file" if name in allowed.FILE_ATTRIBUTES else None


def _is_private(name: str) -> bool:
    return name.startswith("_") and not _DUNDER.fullmatch(name)


def _text(node: ast.AST) -> str:
    try:
        return ast.unparse(node)
    except (RecursionError, ValueError):
        return f"{type(node).__name__} too deep to show"
