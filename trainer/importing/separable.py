"""Decides from an evaluator's code if it can run in another sandbox than the measured program.

It can if it imports the program and calls it with plain data. Other values cause an error when the
baseline first runs. If it cannot, the reason is a short message for users.
"""

import ast
import re
from collections.abc import Mapping
from typing import Final

from trainer.host.folder_files import FolderFile
from trainer.importing.reading import read_python
from trainer.importing.timing import timed_figures

_PATH: Final = re.compile(
    r"(?=.*(program|candidate|solution|initial))(?=.*(path|file)).*", re.IGNORECASE
)
_READING: Final = frozenset({"read_text", "read_bytes", "getsource", "getsourcelines", "open"})
_NETWORKED: Final = frozenset(
    {"aiohttp", "anthropic", "boto3", "httpx", "litellm", "ollama", "openai", "requests"}
    | {"shinka.llm"}
)
_SEEDS: Final = ("seed", "random_seed", "rng_seed")
_INTERPRETERS: Final = frozenset({"python", "python3"})


def why_together(
    program: FolderFile | None,
    modules: Mapping[str, FolderFile],
    *,
    scores: frozenset[str],
    device: str = "cpu",
) -> str | None:
    """Return the reason an evaluator must share the program's sandbox, None if it need not.

    `modules` are the evaluator's modules, by name. `scores` are the figures that its score consists
    of.
    """
    if program is None or program.suffix != ".py":
        name = "the program" if program is None else program.name
        return f"{name} is not a Python module, so it has no functions to call"
    if device != "cpu":
        return "the program uses a card, whose memory another sandbox cannot read"
    trees = {name: read_python(file) for name, file in modules.items()}
    for name, tree in trees.items():
        roots = {part for one in imported_modules(tree) for part in (one, one.split(".")[0])}
        if asked := sorted(_NETWORKED & roots):
            return f"{name} imports {asked[0]}, which needs a network; sandboxes have none"
    timed = timed_figures(trees.values()) & scores
    if timed:
        return f"its score contains time (in {min(timed)}), and arnode never ranks such scores"
    for name, tree in trees.items():
        for node in ast.walk(tree):
            if (why := _why_together(node) or _why_overwritten(node, program.stem)) is not None:
                return f"{name}, line {getattr(node, 'lineno', 0)}, {why}"
    return None


def _why_together(node: ast.AST) -> str | None:
    match node:
        case ast.Call(func=ast.Name(id="open"), args=[first, *_]) if _is_program(first):
            return "reads the program's file, which the judge's sandbox does not contain"
        case ast.Call(func=ast.Attribute(attr=name, value=whose), args=arguments) if (
            name in _READING and any(map(_is_program, (whose, *arguments)))
        ):
            return "reads the program's file, which the judge's sandbox does not contain"
        case ast.Call(func=ast.Attribute(attr="getsource")):
            return "reads the source of a function, which the judge's sandbox does not contain"
        case ast.List(elts=[first, second, *_]) | ast.Tuple(elts=[first, second, *_]) if (
            _is_interpreter(first) and _is_program(second)
        ):
            return "runs the program as a script instead of calling its functions"
    return None


def _why_overwritten(node: ast.AST, program: str) -> str | None:
    match node:
        case ast.ImportFrom(module=str() as module, names=[ast.alias(name="*")]) if (
            module.rpartition(".")[2] == program
        ):
            return "imports all names of the program, which may overwrite the evaluator's names"
    return None


def _is_program(node: ast.AST) -> bool:
    """Return True if an expression is the program's path, judged by its name."""
    names = (one for one in ast.walk(node) if isinstance(one, ast.Name | ast.Attribute))
    return any(
        _PATH.fullmatch(one.id if isinstance(one, ast.Name) else one.attr) is not None
        for one in names
    )


def _is_interpreter(node: ast.expr) -> bool:
    match node:
        case ast.Attribute(attr="executable"):
            return True
        case ast.Constant(value=str() as word):
            return word in _INTERPRETERS
    return False


def imported_modules(tree: ast.Module) -> set[str]:
    """Return the modules that a module imports, and the names imported from them."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or "", *(alias.name for alias in node.names)}
    return found - {""}


def varied(
    function: ast.FunctionDef | ast.AsyncFunctionDef | None, trees: Mapping[str, ast.Module]
) -> str | None:
    """Return the argument or environment variable through which an evaluator receives a seed.

    Return None if its code names no such argument or variable.
    """
    if function is not None:
        taken = (*function.args.args[1:], *function.args.kwonlyargs)
        for one in taken:
            if one.arg in _SEEDS:
                return f"argument {one.arg}"
    for tree in trees.values():
        for node in ast.walk(tree):
            name = _variable(node)
            if name is not None and "SEED" in name.upper():
                return f"variable {name}"
    return None


def _variable(node: ast.AST) -> str | None:
    """Return the environment variable that an expression reads, None if it reads no variable."""
    match node:
        case ast.Call(
            func=ast.Attribute(attr="getenv" | "get", value=whose),
            args=[ast.Constant(value=str() as name), *_],
        ) if isinstance(whose, ast.Attribute | ast.Name) and ast.unparse(whose) in (
            "os",
            "os.environ",
            "environ",
        ):
            return name
        case ast.Subscript(
            value=ast.Attribute(attr="environ"), slice=ast.Constant(value=str() as name)
        ):
            return name
    return None
