"""`arnode help`: the help of a command, or the meaning of a word that arnode uses."""

import difflib
import textwrap

import click

from node.commands.cli import cli
from node.commands.hints import help_hint
from node.commands.table import SHOWS_ALL
from node.terminal.glossary import explained, glossary
from protocol.errors import UsageError

_COLUMNS = 80


@click.command()
@click.argument("words", metavar="[COMMAND|TERM]", nargs=-1)
@click.option("--all", "shows_all", is_flag=True, help="List all commands.")
@click.pass_context
def help(context: click.Context, words: tuple[str, ...], shows_all: bool) -> None:  # noqa: A001
    """Explain a command, or a word of the glossary such as `working line`.

    Without a word, list the commands.
    """
    parent = context.parent or context
    context.meta[SHOWS_ALL] = shows_all
    term = " ".join(words).lower()
    if not words:
        click.echo(cli.get_help(parent))
    elif text := _help_of(parent, words):
        click.echo(text)
    elif found := explained(term):
        for name in found:
            click.echo(textwrap.fill(f"{name}: {glossary()[name]}", _COLUMNS))
    else:
        known = [*cli.list_commands(parent), *glossary()]
        begun = (words[:end] for end in range(len(words) - 1, 0, -1))
        command = next((" ".join(one) for one in begun if _help_of(parent, one)), None)
        near = command or next(iter(difflib.get_close_matches(term, known, 1, 0.7)), None)
        hint = f"see `arnode help {near}`" if near else "`arnode help --all` lists all commands"
        raise UsageError(f"there is no command or term `{term}`", help_hint(term) or hint)


def _help_of(context: click.Context, words: tuple[str, ...]) -> str | None:
    command: click.Command = cli
    for word in words:
        found = command.get_command(context, word) if isinstance(command, click.Group) else None
        if found is None:
            return None
        command, context = found, click.Context(found, info_name=word, parent=context)
    return command.get_help(context)
