"""Extraction of names from Python modules, with all they need, as self-contained text.

The needs of a name are found by parsing. Imports are kept name by name; assignments, functions and
classes are copied whole. Names from a neighbouring module are extracted in the same way. In doubt,
too much is extracted.
"""

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from protocol.errors import ConfigurationError
from trainer.host.folder_files import FolderFile
from trainer.importing.reading import read_python, read_text

# Returns the file of an imported module that is to be extracted too; None for a package's module.
Resolve: TypeAlias = Callable[[FolderFile, ast.ImportFrom], FolderFile | None]


def names_in(node: ast.AST) -> set[str]:
    """Return all names that occur in a piece of code, of any origin."""
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def bound_by(statement: ast.stmt) -> set[str]:
    """Return the names that a top-level statement binds."""
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return {statement.name}
        case ast.Import() | ast.ImportFrom():
            return {alias.asname or alias.name.split(".")[0] for alias in statement.names}
    found = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.stmt) and node is not statement:
            found |= bound_by(node)
    return found


def segment(source: str, node: ast.stmt) -> str:
    """Return the lines of a statement, with its decorators and the comment right above."""
    lines = source.split("\n")
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(one.lineno for one in decorators)]) - 1
    while first and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    return "\n".join(lines[first : node.end_lineno])


def heading(source: str) -> str:
    """Return the comment at the beginning of a module, which may name its copyright."""
    lines: list[str] = []
    for line in source.split("\n"):
        if not line.startswith("#") or line.startswith("#!"):
            break
        lines.append(line)
    return "\n".join(lines)


@dataclass(slots=True)
class CodeExtract:
    """The code extracted so far.

    `resolve` decides which imports are followed. `given` are names that the target provides.
    `rewrite` may change a module's text first. `meanings` has the definition of each name.
    """

    resolve: Resolve = lambda _path, _statement: None
    given: frozenset[str] = frozenset()
    rewrite: Callable[[FolderFile, str], str] = lambda _path, text: text
    future: set[str] = field(default_factory=set)
    imports: dict[str, None] = field(default_factory=dict)
    statements: dict[tuple[FolderFile, int], str] = field(default_factory=dict)
    meanings: dict[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """Return the extract as a module's text, without imports from `__future__`."""
        imports, statements = (
            "\n".join(sorted(self.imports)),
            "\n\n\n".join(self.statements.values()),
        )
        return "\n\n\n".join(part for part in (imports, statements) if part)

    def take(self, path: FolderFile, names: Iterable[str]) -> None:
        """Extract names from a module.

        Raises ConfigurationError if two modules define a name differently, or if the module is not
        valid Python.
        """
        read_python(path)  # raises an error that names the file
        source = self.rewrite(path, read_text(path))
        self.take_for(path, source, ast.parse(source), set(names))

    def take_for(self, path: FolderFile, source: str, tree: ast.Module, names: set[str]) -> None:
        """Extract the top-level statements of a parsed module that `names` need."""
        chosen = _needed(tree, names)
        wanted = set(names).union(*(names_in(one) for one in chosen))
        for statement in tree.body:
            if isinstance(statement, ast.ImportFrom | ast.Import):
                self._import(path, statement, wanted)
        for statement in chosen:
            self._define(path, bound_by(statement), ast.dump(statement))
            self.statements.setdefault((path, statement.lineno), segment(source, statement))

    def _import(
        self, path: FolderFile, statement: ast.Import | ast.ImportFrom, wanted: set[str]
    ) -> None:
        if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
            self.future |= {alias.name for alias in statement.names}
            return
        for alias in statement.names:
            name = alias.asname or alias.name.split(".")[0]
            if name not in wanted and alias.name != "*":
                continue
            if isinstance(statement, ast.Import):
                # `import a.b` and `import a.c` bind the same a.
                meaning = alias.name if alias.asname else name
                self._define(path, {name}, f"import {meaning}")
            elif alias.name in self.given:
                self._renamed(path, statement, alias)
                continue
            elif there := self.resolve(path, statement):
                self.take(there, [alias.name])
                self._renamed(path, statement, alias)
                continue
            else:
                self._define(path, {name}, _one_import(statement, alias))
            self.imports[_one_import(statement, alias)] = None

    def _renamed(self, path: FolderFile, statement: ast.stmt, alias: ast.alias) -> None:
        if alias.asname and alias.asname != alias.name:
            at = (path, -statement.lineno)
            self.statements.setdefault(at, f"{alias.asname} = {alias.name}")

    def _define(self, path: FolderFile, names: set[str], meaning: str) -> None:
        for name in names:
            if self.meanings.setdefault(name, meaning) != meaning:
                raise ConfigurationError(
                    f"{path}: another module defines {name} differently",
                    "rename it in one of the modules, then import the task again",
                )


def _needed(tree: ast.Module, names: set[str]) -> list[ast.stmt]:
    """Return the statements that names need, directly or indirectly, in their order."""
    own = [one for one in tree.body if not isinstance(one, ast.Import | ast.ImportFrom)]
    chosen: set[int] = set()
    wanted = set(names)
    while True:
        fresh = [
            number
            for number, one in enumerate(own)
            if number not in chosen and bound_by(one) & wanted
        ]
        if not fresh:
            return [own[number] for number in sorted(chosen)]
        chosen |= set(fresh)
        wanted = wanted.union(*(names_in(own[number]) for number in fresh))


def _one_import(statement: ast.Import | ast.ImportFrom, alias: ast.alias) -> str:
    if isinstance(statement, ast.Import):
        return ast.unparse(ast.Import(names=[alias]))
    return ast.unparse(
        ast.ImportFrom(module=statement.module, names=[alias], level=statement.level)
    )
