"""The candidate and the judge of an AlgoTune class, as text.

The candidate contains what `solve` needs, including imports, and no code that makes or checks
problems. The judge contains the whole class. The class is never executed here.
"""

import ast
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from arnode_plugins.extraction import CodeExtract, bound_by, heading, names_in, segment
from protocol.errors import ConfigurationError
from trainer.host.folder_files import FolderFile

BASE: Final = "AlgoTuneTasks"  # the package of the base class, which `_BASE_CLASS_STUB` replaces
_JUDGE: Final = '''
TASK = {task}()
SIZES = {sizes}  # strata: every run has problems of each
MOST_BYTES = {most_bytes}  # of a problem: instance_mb in task.toml


def instance(seed, split, index):
    """Return a problem of the next size; its random seed is 32 of the instance's 256 bits.

    If the problem is larger than an instance may be, n is halved until it fits.
    """
    number = int.from_bytes(seed[:4], "big")
    n = SIZES[index % len(SIZES)]
    while True:
        random_of_python.seed(seed)
        random_of_numpy.random.seed(number)
        problem = TASK.generate_problem(n=n, random_seed=number >> 1)
        if n == 1 or sent_bytes(problem) <= MOST_BYTES:
            return problem
        n //= 2


def sent_bytes(value):
    """Return the size of a value when it is sent, or a few bytes more."""
    if isinstance(value, dict):
        return 8 + sum(sent_bytes(key) + sent_bytes(one) for key, one in value.items())
    if isinstance(value, (list, tuple)):
        return 8 + sum(map(sent_bytes, value))
    if isinstance(value, (bytes, str)):
        return 8 + len(value if isinstance(value, bytes) else value.encode())
    if isinstance(value, random_of_numpy.ndarray):
        return 64 + value.nbytes
    if isinstance(value, int):
        bits = value.bit_length() + (value < 0)
        widths = (most for most in (8, 16, 32, 64) if bits <= most)
        return 1 if -32 <= value < 128 else 1 + next(widths, bits + 56) // 8
    return 9


def check(instance, answer):
    """Check that the answer is a solution; the node measures the time."""
    if not TASK.is_solution(instance, answer):
        raise Wrong("it is not a solution of the problem")
    return {{"solved": 1.0}}


'''
_NAMES: Final = ("SIZES", "TASK", "Wrong", "random_of_numpy")
_CLASS_DOC: Final = '    """Solves the problems; the judge makes and checks them."""'
_BASE_CLASS_STUB: Final = '''class Task:
    """Stands in for the base class of AlgoTune's tasks."""

    def __init__(self, n=None, dataset_size=None, target_time_ms=None, data_dir=None, **_others):
        self.n, self.dataset_size, self.k = n, dataset_size, None
        self.target_time_ms, self.data_dir = target_time_ms, data_dir


def register_task(name):
    """Leave a task's class as it is."""
    return lambda task: task
'''


@dataclass(frozen=True, slots=True)
class TaskModule:
    """A parsed module, and the class in it that is the task."""

    path: FolderFile
    source: str
    tree: ast.Module
    task: ast.ClassDef

    def method(self, name: str) -> ast.FunctionDef:
        """Return one of the class's methods."""
        return next(
            one for one in self.task.body if isinstance(one, ast.FunctionDef) and one.name == name
        )


def candidate_text(module: TaskModule) -> str:
    """Return a module with `solve` as a function.

    If the method uses its class, the module contains the class, reduced to what `solve` needs.
    """
    solve, task = module.method("solve"), module.task
    extract = CodeExtract(resolve=_refuse_local)
    if _own_members(solve, task) or task.name in names_in(solve):
        body, nodes = _slim_class(module)
        tail = f"\n\n\ndef solve(problem):\n    return {task.name}().solve(problem)"
    else:
        body, nodes, tail = _as_function(module, solve), [solve], ""
    wanted = set().union(*(names_in(node) for node in nodes)) - {task.name}
    extract.take_for(module.path, module.source, module.tree, wanted)
    future = f"from __future__ import {', '.join(sorted(extract.future))}\n\n"
    parts = [extract.text(), body + tail]
    top = heading(module.source)
    text = "\n\n\n".join(part for part in parts if part)
    text = (future if extract.future else "") + text.strip("\n")
    return f"{top}\n{text}\n" if top else f"{text}\n"


def _refuse_local(path: FolderFile, statement: ast.ImportFrom) -> FolderFile | None:
    if statement.level or (statement.module or "").split(".")[0] == BASE:
        raise ConfigurationError(
            f"{path}: solve needs `{ast.unparse(statement)}`, which a candidate cannot import",
            "copy what solve needs into the task's module",
        )
    return None


def _own_members(node: ast.AST, task: ast.ClassDef) -> set[str]:
    """Return the attributes that a piece of code uses of `self`, `cls` or the task's class."""
    owners = {"self", "cls", task.name}
    return {
        one.attr
        for one in ast.walk(node)
        if isinstance(one, ast.Attribute)
        if isinstance(one.value, ast.Name) and one.value.id in owners
    }


def _slim_class(module: TaskModule) -> tuple[str, list[ast.stmt]]:
    """Return the class reduced to the members that `solve` needs: its text, and these members."""
    wanted, kept = {"solve", "__init__"}, set[int]()
    while True:
        fresh = {
            number
            for number, one in enumerate(module.task.body)
            if number not in kept and bound_by(one) & wanted
        }
        if not fresh:
            break
        kept |= fresh
        wanted |= set().union(
            *(_own_members(module.task.body[number], module.task) for number in fresh),
            *(names_in(module.task.body[number]) for number in fresh),
        )
    nodes = [one for number, one in enumerate(module.task.body) if number in kept]
    texts = [_without_super(segment(module.source, one), one) for one in nodes]
    head = f"class {module.task.name}:\n{_CLASS_DOC}"
    return "\n\n".join([head, *filter(None, texts)]), nodes


def _without_super(text: str, node: ast.stmt) -> str:
    """Return a member without its `super()` call; "" for an `__init__` that does nothing else."""
    if not isinstance(node, ast.FunctionDef) or node.name != "__init__":
        return text
    kept = [one for one in _without_doc(node.body) if "super()" not in ast.unparse(one)]
    if all(isinstance(one, ast.Pass | ast.Expr) for one in kept):
        return ""
    node.body = kept
    return textwrap.indent(ast.unparse(node), "    ")


def _as_function(module: TaskModule, solve: ast.FunctionDef) -> str:
    """Return the method as a function, with unchanged text if possible."""
    text = textwrap.dedent(segment(module.source, solve))
    text = re.sub(r"(def\s+solve\s*\(\s*)self\s*(,\s*|(?=\)))", r"\1", text, count=1)
    try:
        after = ast.parse(text).body[0]
    except SyntaxError:
        after = None
    bare = ast.FunctionDef(
        name="solve",
        args=ast.arguments(
            posonlyargs=solve.args.posonlyargs,
            args=solve.args.args[1:],
            vararg=solve.args.vararg,
            kwonlyargs=solve.args.kwonlyargs,
            kw_defaults=solve.args.kw_defaults,
            kwarg=solve.args.kwarg,
            defaults=solve.args.defaults,
        ),
        body=_without_doc(solve.body),
        decorator_list=[],
        returns=solve.returns,
        lineno=solve.lineno,
    )
    same = (
        isinstance(after, ast.FunctionDef)
        and [ast.dump(one) for one in _without_doc(after.body)]
        == [ast.dump(one) for one in bare.body]
        and not after.decorator_list
    )
    return text if same else ast.unparse(bare)


def _without_doc(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0]
    is_doc = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return body[1:] if is_doc and len(body) > 1 else body


def judge_text(module: TaskModule, sizes: Sequence[int], *, most_bytes: int) -> str:
    """Return the judge's code: the whole module, to which `instance` and `check` are added.

    A stub replaces AlgoTune's base class. `instance` makes problems of these `sizes`. If a problem
    has more than `most_bytes`, its size is halved until it fits or is 1. Raises ConfigurationError
    if the module defines a name that the judge's code needs.
    """
    taken = set().union(*(bound_by(one) for one in module.tree.body))
    clash = taken & {"instance", "check", "sent_bytes", "MOST_BYTES", *_NAMES}
    if clash:
        raise ConfigurationError(
            f"{module.path}: the judge already uses the name {min(clash)}", "rename it there"
        )
    lines = module.source.split("\n")
    future = ""
    for node in module.tree.body:
        is_base = isinstance(node, ast.ImportFrom) and (node.module or "").startswith(BASE)
        is_future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
        is_doc = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_base or is_future or is_doc:
            future = f"{ast.unparse(node)}\n\n" if is_future else future
            lines[node.lineno - 1 : node.end_lineno] = [""] * (
                (node.end_lineno or 0) - node.lineno + 1
            )
    docstring = f'"""Makes and checks the problems of AlgoTune\'s {module.path.stem}."""'
    imports = (
        "import random as random_of_python\n\nimport numpy as random_of_numpy\n\n"
        "from judging import Wrong"
    )
    body = re.sub(r"\n{4,}", "\n\n\n", "\n".join(lines).strip())
    tail = _JUDGE.format(sizes=tuple(sizes), task=module.task.name, most_bytes=most_bytes)
    return f"{docstring}\n\n{future}{imports}\n\n\n{_BASE_CLASS_STUB}\n\n{body}\n\n{tail}"
