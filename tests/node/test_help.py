"""`arnode help` explains commands and the words of the glossary."""

from collections.abc import Iterator

import click
import pytest

from node.commands.table import COMMANDS
from node.terminal.glossary import glossary
from tests.node.test_commands import arnode
from tests.node.test_named_commands import command_of


def test_a_term_of_the_glossary_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(glossary()) == 40
    text = arnode(capsys, "help", "Promotion", "trial")
    assert text.startswith("promotion trial: a trial makes pairs of the verified head")
    assert all(len(line) <= 80 for line in text.splitlines())


@pytest.mark.parametrize(
    ("words", "beginning"),
    [
        ((), "Usage: arnode [OPTIONS] COMMAND"),
        (("task", "init"), "Usage: arnode task init "),
        (("try",), "Usage: arnode try "),
    ],
)
def test_a_command_is_explained_as_by_its_own_help(
    words: tuple[str, ...], beginning: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert arnode(capsys, "help", *words).startswith(beginning)


@pytest.mark.parametrize(
    ("word", "term"),
    [
        ("sd", "noise"),
        ("kept", "recheck"),
        ("trial", "promotion trial"),
        ("judge", "task"),
        ("val_bpb", "metric"),
    ],
)
def test_a_word_within_a_definition_is_explained_by_it(
    capsys: pytest.CaptureFixture[str], word: str, term: str
) -> None:
    assert f"{term}: " in arnode(capsys, "help", word)


def groups() -> Iterator[list[str]]:
    waiting = [[name] for name in COMMANDS]
    for words in waiting:
        command, _ = command_of(words)
        if isinstance(command, click.Group):
            yield words
            waiting += ([*words, name] for name in command.list_commands(click.Context(command)))


def test_no_sentence_is_cut_in_a_list_of_commands(capsys: pytest.CaptureFixture[str]) -> None:
    listed = {" ".join(words): arnode(capsys, "help", *words) for words in groups()}
    assert {"export", "task import", "home config", "network friends"} <= listed.keys()
    cut = [text for text in listed.values() if "..." in text.partition("Commands:")[2]]
    assert cut == []
    assert "evidence into a file that" in (export := " ".join(listed["export"].split()))
    assert "anyone can check." in export


def test_a_usage_line_names_a_day_as_its_text_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert arnode(capsys, "help", "agent", "spending").startswith(
        "Usage: arnode agent spending [OPTIONS] [DAY]"
    )


def test_an_unknown_word_is_an_error_that_names_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = arnode(capsys, "help", "workin", "line", code=2)
    assert "there is no command or term `workin line`" in error
    assert "hint: see `arnode help working line`" in error


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("home config set", "`arnode home config show` lists the keys."),
        ("start", "Repeat for several, which take turns;"),
    ],
)
def test_a_help_says_where_its_values_come_from(
    line: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in " ".join(arnode(capsys, "help", *line.split()).split())
