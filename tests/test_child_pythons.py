"""Every Python process that arnode starts is isolated from the current folder."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
FOLDERS: Final = ("agent", "arnode_plugins", "bootstrap", "node", "protocol", "trainer")
OWNER: Final = "trainer/host/interpreter.py"
# Programs in a sandbox belong to a candidate or a judge. They find their own folder first, on
# purpose.
INSIDE: Final = (
    "arnode_plugins/scripts/",
    "trainer/importing/scripts/",
    "trainer/language_model/harness/",
    "trainer/language_model/take_home/",
    "trainer/program/harness/",
    "trainer/sandbox/inside/",
    "trainer/tasks/",
)
# Places that name the interpreter or a command but start none, with the reason.
NAMED: Final = {
    ("trainer/sandbox/confined.py", "sys.executable"): "the sandbox's own, with `FLAGS`",
    ("trainer/sandbox/visible.py", "sys.executable"): "a file that sandboxes are shown",
    ("trainer/sandbox/masked_home.py", "sys.executable"): "a file that fenced programs are shown",
    ("trainer/cards/install_torch.py", "sys.executable"): "whose packages uv installs",
    ("arnode_plugins/mle_bench.py", "python"): "a task's command, which runs in a sandbox",
    ("trainer/importing/self_scored.py", "python"): "likewise",
}
_INTERPRETER: Final = re.compile(r"(\S*/)?python[\d.]*")
_COMMAND_LINE: Final = re.compile(r"(?<![\w-])python[\d.]*\s+(?!-I\b)-\S")
_STARTING: Final = ("multiprocessing", "runpy", "concurrent.futures.process", "ProcessPoolExecutor")


@functools.cache
def places() -> list[tuple[str, int, str]]:
    """Return the module, line and words of all code that could start a Python process."""
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    names = [str(path.relative_to(ROOT)) for path in paths]
    return [
        (name, line, words)
        for name, path in zip(names, paths, strict=True)
        if not name.startswith(INSIDE)
        for line, words in found(ast.parse(path.read_text()))
    ]


def found(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and words of all code that could start a Python process."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="sys"), attr="executable" | "_base_executable"):
                yield node.lineno, "sys.executable"
            case ast.ImportFrom(module="sys", names=names):
                if any(name.name == "executable" for name in names):
                    yield node.lineno, "sys.executable"
            case ast.List(elts=[first, *_]) | ast.Tuple(elts=[first, *_]):
                if isinstance(first, ast.Constant) and _is_interpreter(first.value):
                    yield node.lineno, str(first.value)
            case ast.Call(args=[ast.Constant(value=value), *_]) if _is_interpreter(value):
                yield node.lineno, str(value)
            case ast.Constant(value=str(text)) if _COMMAND_LINE.search(text):
                yield node.lineno, text
            case ast.Import(names=names):
                yield from ((node.lineno, one.name) for one in names if _starts(one.name))
            case ast.ImportFrom(module=str(module), names=names):
                words = (module, *(one.name for one in names))
                yield from ((node.lineno, word) for word in words if _starts(word))


def _is_interpreter(value: object) -> bool:
    return isinstance(value, str) and _INTERPRETER.fullmatch(value) is not None


def _starts(name: str) -> bool:
    return any(name == one or name.startswith(f"{one}.") for one in _STARTING)


@pytest.mark.always
def test_every_python_is_started_by_one_function() -> None:
    others = [
        f"{name}:{line}: {words}"
        for name, line, words in places()
        if name != OWNER and (name, words) not in NAMED
    ]
    assert others == [], f"start these by {OWNER}"


@pytest.mark.always
def test_every_exception_is_still_there() -> None:
    there = {(name, words) for name, _, words in places()}
    assert NAMED.keys() <= there


@pytest.mark.parametrize(
    "code",
    [
        "run([sys.executable, 'train.py'])",
        "run((*before, sys.executable))",
        "from sys import executable",
        "run(['python3', '-c', ''])",
        "run(('/usr/bin/python3.12', 'x.py'))",
        "execvp('python', words)",
        "system('python3 -m node start')",
        "print(f'now run python -m {name}')",
        "import multiprocessing",
        "from multiprocessing.pool import Pool",
        "from concurrent.futures import ProcessPoolExecutor",
        "import runpy",
    ],
)
def test_a_python_that_looks_at_the_current_folder_is_found(code: str) -> None:
    assert list(found(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "run(python_command('-m', 'pip'))",
        "say('python -I -m trainer.card_selftest')",
        "x['python']",
    ],
)
def test_an_isolated_python_is_not(code: str) -> None:
    assert not list(found(ast.parse(code)))
