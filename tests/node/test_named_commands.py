"""Every command line that a message names is one that runs, with options that exist."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import node
from node.commands.habits import ANSWERS, MEANT
from node.commands.hints import _suggest
from node.commands.table import COMMANDS
from node.terminal.glossary import explained

FOLDERS = ("agent", "arnode_plugins", "bootstrap", "node", "protocol", "trainer")
ROOT = Path(node.__file__).parents[1]
_LINE = re.compile(r"`(?:ARNODE_HOME=\S+ |nohup )?arnode ([^`]+)`")
_OPTIONS = re.compile(r"`(--?[a-z][^`]*)`")


def texts(tree: ast.AST) -> Iterator[str]:
    """Yield each text of a program except docstrings; a value within it is written as X."""
    within: set[ast.AST] = set()
    for one in ast.walk(tree):
        if isinstance(one, ast.JoinedStr):
            within.update(one.values)
        elif isinstance(one, ast.Expr):
            within.add(one.value)
    for one in ast.walk(tree):
        if isinstance(one, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else "X" for part in one.values
            )
        elif isinstance(one, ast.Constant) and isinstance(one.value, str) and one not in within:
            yield one.value


def command_of(words: list[str]) -> tuple[click.Command, list[str]]:
    """Return the command that words name, and the words after its name."""
    command = COMMANDS[words[0]].load(words[0])
    rest = words[1:]
    while isinstance(command, click.Group) and rest and not rest[0].isupper():
        inner = command.get_command(click.Context(command), rest[0])
        assert inner is not None, words
        command, rest = inner, rest[1:]
    return command, rest


def faults(line: str) -> Iterator[str]:
    """Yield what is wrong with a command line, which begins after `arnode`."""
    words = re.split(r"[|>&]", " ".join(line.split()).replace("(", " "))[0].split()
    if words[0] == "help" and words[1:] and words[1] not in COMMANDS:
        if words[1:] != ["--all"] and "X" not in words and not explained(" ".join(words[1:])):
            yield "help explains no such term"
        return
    if words[0] == "help" and words[1:]:
        if command_of(words[1:])[1]:
            yield "help knows no such command"
        return
    if words[0] in ("X", "COMMAND") or words[0].startswith("-"):
        return
    if words[0] not in COMMANDS:
        yield f"there is no command {words[0]}"
        return
    command, rest = command_of(words)
    if isinstance(command, click.Group) and not rest:
        yield "it is a group, which prints its usage"
    yield from unknown_options(command, rest)


def unknown_options(command: click.Command, words: list[str]) -> Iterator[str]:
    known = {name for one in command.params for name in one.opts} | {"--help", "--debug"}
    for word in words:
        option = word.partition("=")[0].rstrip(",.;:)")
        if re.fullmatch(r"--?[a-z][a-z-]*", option) and option not in known:
            yield f"it has no option {option}"


def texts_below(folder: str) -> Iterator[tuple[Path, str]]:
    """Yield the texts of a folder's modules, each with its module's path."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        for text in texts(ast.parse(path.read_text("utf-8"))):
            yield path.relative_to(ROOT), text


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_command_that_a_message_names_runs(folder: str) -> None:
    found = [
        f"{path}: `arnode {line}`: {fault}"
        for path, text in texts_below(folder)
        for line in _LINE.findall(text)
        for fault in faults(line)
    ]
    assert found == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_message_names_a_page_that_is_not_installed(folder: str) -> None:
    pages = re.compile(r"\bdocs/[a-z-]+\.md")
    named = [f"{path}: {text}" for path, text in texts_below(folder) if pages.search(text)]
    assert named == []


def test_an_option_that_an_answer_names_exists() -> None:
    for asked, answer in ANSWERS.items():
        own = asked.split()[0]
        named = [*([own] if own in COMMANDS else []), *re.findall(r"`([a-z]+)`", answer)]
        named += [line.split()[-1] for line in re.findall(r"`arnode help ([^`]+)`", answer)]
        commands = [command_of([name])[0] for name in named if name in COMMANDS]
        for option in _OPTIONS.findall(answer):
            known = [not list(unknown_options(one, option.split())) for one in commands]
            assert any(known) or not commands, (asked, option)


@pytest.mark.parametrize("meant", sorted(set(MEANT.values())))
def test_a_command_that_a_word_means_runs(meant: str) -> None:
    hint = _suggest(f"arnode {meant}", "see `{}`")
    assert [list(faults(line)) for line in _LINE.findall(hint)] == [[]]
