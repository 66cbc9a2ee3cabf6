"""Words that readers stumbled over stay out of docstrings, messages, help, the page and the docs.

This keeps the worst out. It does not make sentences good: readers do.
"""

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from node.commands.cli import cli

ROOT = Path(__file__).parent.parent
PACKAGES = ("agent", "arnode_plugins", "bootstrap", "node", "protocol", "trainer")
UNCLEAR = re.compile(
    r"\b(anew|whoever|mend(s|ed|ing)?|strangers?|reckon(s|ed|ing)?|to be had|told_\w+|tell_\w+)\b",
    re.IGNORECASE,
)
UNCLEAR_NAME = re.compile(r"(^|_)(told|tell|anew|whoever|mend|strangers?|reckon(ed)?|foreign)(_|$)")
NO_VERB = re.compile(r"(What|Whose|Whether|Who)\b")
MOST_WORDS = 35  # of a sentence
# Not ours to write: the texts of programs and models that a test or a task shows.
_NOT_OURS = ("trainer/tasks/", "node/web/page/vendor/")


@cache
def tracked(*patterns: str) -> tuple[Path, ...]:
    listed = subprocess.run(
        ["git", "ls-files", *patterns], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    return tuple(ROOT / name for name in listed if not name.startswith(_NOT_OURS))


def modules() -> tuple[Path, ...]:
    return tracked(*(f"{package}/*.py" for package in PACKAGES))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def place(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def docstrings() -> Iterator[tuple[str, str]]:
    for path in modules():
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node)
                if text:
                    yield place(path, getattr(node, "lineno", 1)), text


def strings() -> Iterator[tuple[str, str]]:
    """Docstrings, messages and help."""
    for path in modules():
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield place(path, node.lineno), node.value


def names() -> Iterator[tuple[str, str]]:
    """The names that our modules define: of modules, classes, functions, parameters, variables."""
    for path in modules():
        yield place(path, 1), path.stem
        for node in ast.walk(parsed(path)):
            match node:
                case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                    yield place(path, node.lineno), name
                case ast.AsyncFunctionDef(name=name) | ast.arg(arg=name):
                    yield place(path, node.lineno), name
                case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                    yield place(path, node.lineno), name


def comments() -> Iterator[tuple[str, str]]:
    for path in modules():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if "#" in line:
                yield place(path, number), line.partition("#")[2]


def pages() -> Iterator[tuple[str, str]]:
    """Documents, and what the page shows."""
    for path in tracked("README.md", "docs/*.md", "node/*.md", "node/web/page/*"):
        if path.suffix in (".md", ".html", ".js", ".css"):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                yield place(path, number), line


def help_texts() -> Iterator[tuple[str, str]]:
    """The help of every command and of its options."""
    waiting: list[tuple[str, click.Command]] = [("arnode", cli)]
    while waiting:
        name, command = waiting.pop()
        yield name, command.help or ""
        for option in command.params:
            yield f"{name} {option.name}", getattr(option, "help", None) or ""
        if isinstance(command, click.Group):
            context = click.Context(command)
            for below in command.list_commands(context):
                found = command.get_command(context, below)
                assert found is not None
                waiting.append((f"{name} {below}", found))


def sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.:;!?])\s+|\n\s*\n", text)


@pytest.mark.parametrize("where", [strings, comments, pages], ids=lambda one: one.__name__)
def test_unclear_words_stay_out(where: "type[Iterator[tuple[str, str]]]") -> None:
    found = [f"{at}: {word[0]!r}" for at, text in where() for word in UNCLEAR.finditer(text)]
    assert not found, "\n".join(found)


def test_unclear_names_stay_out() -> None:
    found = sorted({f"{at}: {name}" for at, name in names() if UNCLEAR_NAME.search(name)})
    assert not found, "\n".join(found)


def test_a_docstring_begins_with_a_verb_or_a_thing() -> None:
    found = [f"{at}: {text.splitlines()[0]}" for at, text in docstrings() if NO_VERB.match(text)]
    assert not found, "\n".join(found)


def test_sentences_of_the_help_are_short() -> None:
    found = [
        f"{at}: {one}"
        for at, text in help_texts()
        for one in sentences(text)
        if len(one.split()) > MOST_WORDS
    ]
    assert not found, "\n".join(found)


def test_names_that_a_document_places_in_a_file_are_there() -> None:
    found = []
    for page in tracked("README.md", "docs/*.md"):
        text = page.read_text(encoding="utf-8")
        pairs = re.findall(r"`([\w/]+\.py)`\s\(`(\w+)[\w.()]*`", text)
        pairs += [
            (path, name) for name, path in re.findall(r"`(\w+)[\w.()]*`\s\(`([\w/]+\.py)`", text)
        ]
        for path, name in pairs:
            file = ROOT / path
            if not file.exists() or not re.search(rf"\b{name}\b", file.read_text()):
                found.append(f"{page.name}: {name} in {path}")
    assert not found, "\n".join(found)
