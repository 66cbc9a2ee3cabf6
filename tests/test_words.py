"""Unclear words stay out of docstrings, messages, help, the page, the docs, tests and tools.

This keeps the worst out. It does not make sentences good: readers do.
"""

import ast
import re
import subprocess
import tokenize
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from io import StringIO
from pathlib import Path

import click
import pytest

from node.commands.cli import cli

ROOT = Path(__file__).parent.parent
PACKAGES = ("agent", "arnode_plugins", "bootstrap", "node", "protocol", "trainer")
FOLDERS = (*PACKAGES, "tests", "tools")
UNCLEAR = re.compile(
    r"\b(anew|whoever|mend(s|ed|ing)?|strangers?|reckon(s|ed|ing)?|to be had|told_\w+|tell_\w+)\b",
    re.IGNORECASE,
)
UNCLEAR_NAME = re.compile(
    r"(?<![^\W_])"
    r"(told|tell|anew|whoever|mend(s|ed|ing)?|strangers?|reckon(ed)?|foreign|beside|heed(ed)?)"
    r"(?![^\W_])"
)
# Tests and tools are read by fewer people, and already without these words.
UNCLEAR_IN_TESTS = re.compile(
    rf"{UNCLEAR.pattern}|\b(told|telling|foreign|beside|heed(s|ed)?)\b", re.IGNORECASE
)
# A part of each of these, for `git grep`, which is faster.
SUSPECT = 'anew|whoever|mend|stranger|reckon|to be had|told|tell|foreign|beside|heed|"""wh'
NO_VERB = re.compile(r"(What|Whose|Whether|Who)\b")
MOST_WORDS = 35  # of a sentence
MOST_TERMS = 40
BOLD = re.compile(r"\*\*(?!\s)((?:[^*\n]|\n(?!\n))+?)\*\*")
LABEL = re.compile(r"[ |]*(?:[-*] |\d+\. )?|.*\| *")  # what is before a label in bold
IS_A = re.compile(r"\s+(is|are|means?)\s+(an?|the|one|any|all)\b")
# Bold in a sentence, and yet no term.
ORDINARY = {
    "a kind of task": "names the folder to write, in a list of what can be added",
    "alerts": "a label, in a paragraph of several",
    "kept": "defined under Recheck in the glossary",
    "reads": "emphasis: which records count, in the specification",
    "remains": "names a label of the same page",
}
# Not ours to write: the texts of programs and models that a test or a task shows.
_NOT_OURS = (
    "node/web/page/vendor/",
    "tests/plugins/folders/",
    "tests/tasks/forks/",
    "tests/test_words.py",
    "trainer/tasks/",
)
Found = Iterator[tuple[str, str]]


@cache
def tracked(*patterns: str) -> tuple[Path, ...]:
    listed = subprocess.run(
        ["git", "ls-files", *patterns], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    return tuple(ROOT / name for name in listed if not name.startswith(_NOT_OURS))


@cache
def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(text_of(path))


@cache
def suspects(*folders: str) -> tuple[Path, ...]:
    """Return the modules with a part of an unclear word, or a docstring that may lack a verb."""
    matching = ["git", "grep", "--files-with-matches", "--ignore-case", "--extended-regexp"]
    listed = subprocess.run(
        [*matching, SUSPECT, "--", *(f"{folder}/*.py" for folder in folders)],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    return tuple(ROOT / name for name in listed if not name.startswith(_NOT_OURS))


def modules(folders: Sequence[str], wanted: re.Pattern[str]) -> Iterator[Path]:
    """Yield the modules whose text matches; parsing all of them would take too long."""
    for path in suspects(*folders):
        if wanted.search(text_of(path)):
            yield path


def place(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def docstrings(folders: Sequence[str], wanted: re.Pattern[str]) -> Found:
    for path in modules(folders, wanted):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node)
                if text:
                    yield place(path, getattr(node, "lineno", 1)), text


def strings() -> Found:
    """Docstrings, messages and help of the packages."""
    for path in modules(PACKAGES, UNCLEAR):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield place(path, node.lineno), node.value


def names() -> Found:
    """The names that our modules define: of modules, classes, functions, parameters, variables."""
    for path in tracked(*(f"{folder}/*.py" for folder in FOLDERS)):
        yield place(path, 1), path.stem
    for path in modules(FOLDERS, UNCLEAR_NAME):
        for node in ast.walk(parsed(path)):
            match node:
                case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                    yield place(path, node.lineno), name
                case ast.AsyncFunctionDef(name=name) | ast.arg(arg=name):
                    yield place(path, node.lineno), name
                case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                    yield place(path, node.lineno), name


def comments(folders: Sequence[str], wanted: re.Pattern[str]) -> Found:
    for path in modules(folders, wanted):
        for token in tokenize.generate_tokens(StringIO(text_of(path)).readline):
            if token.type == tokenize.COMMENT:
                yield place(path, token.start[0]), token.string


def package_comments() -> Found:
    return comments(PACKAGES, UNCLEAR)


def pages() -> Found:
    """Documents, and what the page shows."""
    for path in tracked("README.md", "docs/*.md", "node/*.md", "node/web/page/*"):
        if path.suffix in (".md", ".html", ".js", ".css"):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                yield place(path, number), line


def help_texts() -> Found:
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


@pytest.mark.parametrize("where", [strings, package_comments, pages], ids=lambda one: one.__name__)
def test_unclear_words_stay_out(where: Callable[[], Found]) -> None:
    found = [f"{at}: {word[0]!r}" for at, text in where() for word in UNCLEAR.finditer(text)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("where", [docstrings, comments], ids=lambda one: one.__name__)
def test_unclear_words_stay_out_of_tests_and_tools(
    where: Callable[[Sequence[str], re.Pattern[str]], Found],
) -> None:
    found = [
        f"{at}: {word[0]!r}"
        for at, text in where(("tests", "tools"), UNCLEAR_IN_TESTS)
        for word in UNCLEAR_IN_TESTS.finditer(text)
    ]
    assert not found, "\n".join(found)


def test_unclear_names_stay_out() -> None:
    found = sorted({f"{at}: {name}" for at, name in names() if UNCLEAR_NAME.search(name)})
    assert not found, "\n".join(found)


def test_a_docstring_begins_with_a_verb_or_a_thing() -> None:
    begun = re.compile(rf'"""{NO_VERB.pattern}')
    found = [
        f"{at}: {text.splitlines()[0]}"
        for at, text in docstrings(FOLDERS, begun)
        if NO_VERB.match(text)
    ]
    assert not found, "\n".join(found)


def terms() -> list[str]:
    """The terms of the glossary, which each begin a paragraph."""
    return re.findall(r"^\*\*([^*]+)\*\*", text_of(ROOT / "docs/glossary.md"), re.MULTILINE)


def test_the_glossary_defines_each_term_once_and_few_of_them() -> None:
    defined = [term.lower() for term in terms()]
    assert len(defined) == len(set(defined)) <= MOST_TERMS


def bold_terms(text: str) -> Iterator[tuple[int, str]]:
    """Yield the terms that a page seems to define: bold within a sentence, or before "is a".

    Other bold text at the start of a line is a label; more than four words are a sentence.
    """
    for bold in BOLD.finditer(text):
        words = " ".join(bold[1].split())
        before = text[text.rfind("\n", 0, bold.start()) + 1 : bold.start()]
        is_label = LABEL.fullmatch(before) and not IS_A.match(text, bold.end())
        if not is_label and len(words.split()) <= 4:
            yield text.count("\n", 0, bold.start()) + 1, words


def test_a_term_in_bold_is_in_the_glossary() -> None:
    """The plural is accepted. `ORDINARY` lists phrases that are no terms."""
    known = {term.lower() for term in terms()} | set(ORDINARY)
    seen, found = set[str](), []
    for page in tracked("README.md", "docs/*.md"):
        fenceless = re.sub(
            r"```.*?```", lambda code: "\n" * code[0].count("\n"), text_of(page), flags=re.DOTALL
        )
        for line, words in bold_terms(fenceless):
            seen.add(words.lower())
            if words.lower() not in known and words.lower().removesuffix("s") not in known:
                found.append(f"{place(page, line)}: {words}")
    assert not found, "\n".join(found)
    assert not ORDINARY.keys() - seen, "no longer in bold"


def test_sentences_of_the_help_are_short() -> None:
    found = [
        f"{at}: {one}"
        for at, text in help_texts()
        for one in sentences(text)
        if len(one.split()) > MOST_WORDS
    ]
    assert not found, "\n".join(found)


def test_names_that_a_document_places_in_a_file_are_there() -> None:
    """Pairs are `path` (`Name`, `Name`) and `Name` (`path`)."""
    found = []
    for page in tracked("README.md", "docs/*.md"):
        text = text_of(page)
        pairs = [
            (path, name)
            for path, several in re.findall(
                r"`([\w/]+\.py)`\s\(((?:`[\w.()]+`(?:,\s|\sand\s)?)+)\)", text
            )
            for name in re.findall(r"`(\w+(?:\.\w+)*)", several)
        ]
        pairs += [
            (path, name)
            for name, path in re.findall(r"`(\w+(?:\.\w+)*)(?:\(\))?`\s\(`([\w/]+\.py)`", text)
        ]
        for path, name in pairs:
            file = ROOT / path
            if not file.exists() or not all(
                re.search(rf"\b{part}\b", text_of(file)) for part in name.split(".")
            ):
                found.append(f"{page.name}: {name} in {path}")
    assert not found, "\n".join(found)
