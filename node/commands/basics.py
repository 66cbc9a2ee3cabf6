"""Helpers that commands share: common options, and access to this user's store and blobs.

Importing this module loads no large module.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from click.core import ParameterSource

from node.home import values
from node.home.config import SETTINGS
from node.home.home import Home
from node.home.settings_in_force import config_of, load_config
from node.terminal.terminal import print_json
from protocol.errors import UsageError

if TYPE_CHECKING:
    from node.store.blobs import Blobs
    from node.store.jobs import Line
    from node.store.store import Store

F = TypeVar("F", bound=Callable[..., Any])

MOST_SHOWN: Final = 10**9  # rows of a list; SQLite integers end at 2**63 - 1
ID_DIGITS: Final = 12


class Count(click.IntRange):
    """A whole number within limits. Its errors name the limits."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number. Raises click.BadParameter."""
        try:
            number: int = super().convert(value, param, ctx)
        except click.BadParameter:
            least = f"from {self.min}" if self.min is not None else ""
            most = f" to {self.max}" if self.max is not None and self.max < MOST_SHOWN else " up"
            self.fail(f"{value!r} is not a whole number {least}{most}", param, ctx)
        return number


line_option = click.option("--task", help="The task; needed if this home has worked on several.")
board_option = click.option("--task", help="The task; needed if several tasks have a leaderboard.")
network_option = click.option(
    "--network", "named", metavar="NAME", help="The network (default: the one in use)."
)
pairs_option = click.option(
    "--pairs", type=Count(2, 100), help="The largest number of pairs (default 16)."
)


def json_option(help: str = "Print one JSON document.") -> Callable[[F], F]:  # noqa: A002 (click's word)
    """Return the option `--json`, passed to the command as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help=help)


def task_options() -> Callable[[F], F]:
    """Return the options `--task` and `--text` of commands that work on any task."""
    default = (
        "that of the current or last session, else nanochat if a card passed its test, else tiny"
    )
    task = click.option("--task", help=f"The task (default: {default}).")
    text = click.option(
        "--text", type=Path, help="Train a language model on this text file or folder instead."
    )
    return lambda command: task(text(command))


def setting_option(name: str, help: str | None = None) -> Callable[[F], F]:  # noqa: A002
    """Return the option of a setting.

    Its value is None if the option is missing, or empty if the option can be repeated.

    Raises:
        KeyError: the setting has no flag.
    """
    setting = SETTINGS[name]
    flag, kind = setting.flag, setting.kind
    if flag is None:
        raise KeyError(name)
    bare: dict[str, Any] = {"is_flag": False, "flag_value": flag.bare} if flag.bare else {}
    return click.option(
        setting.option,
        name,
        type=Count(1) if kind.read is values.count else flag.type,
        metavar=flag.metavar,
        multiple=flag.is_repeated,
        default=None,
        help=help or flag.help,
        **{"is_flag": kind.read is values.switch, **bare},
    )


def refuse_other_options(flag: str, *allowed: str) -> None:
    """Raise UsageError if the command line has an option that `flag` would leave unused.

    `allowed` are the parameters of the options that `flag` uses, and its own.
    """
    context = click.get_current_context()
    unused = [
        option.opts[-1]
        for option in context.command.params
        if option.name not in allowed
        and context.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
    ]
    if unused:
        raise UsageError(f"{flag} does not use {' and '.join(unused)}", "leave them out")


@contextmanager
def reading() -> "Iterator[tuple[Store, Blobs]]":
    """Open this home's store read-only, and its blobs. This also works while a node runs."""
    from node.store.blobs import Blobs
    from node.store.store import Store

    home = Home.here()
    with Store.open_read_only(home) as store:
        yield store, Blobs(home.blobs)


def network_of(store: "Store", named: str | None) -> str:
    """Return the network whose leaderboards to show: the named one, else the one in use.

    Raises:
        UsageError: no network of that name is defined here or has leaderboards in the store.
    """
    from node.home.current_network import selected_network

    home = Home.here()
    return selected_network(home, config_of(home), named, also_known=store.boards.networks())


def warn_if_variable_overrides(home: Home, net: str) -> None:
    """Warn on stderr if an environment variable overrides the network that was just saved."""
    settings = load_config(home.config, env=os.environ)
    variable = SETTINGS["net"].variable
    if settings.origins["net"] == variable and settings.config.net != net:
        click.echo(f"{variable} names another network and takes precedence", err=True)


def boards_elsewhere(store: "Store", net: str) -> str:
    """Return the end of a message: other networks that have leaderboards here, or nothing."""
    others = [name for name in store.boards.networks() if name != net]
    return (
        f"; other networks with leaderboards: {', '.join(others)} (`--network NAME`)"
        if others
        else ""
    )


def shown_line(store: "Store", task: str | None) -> "Line":
    """Return the line to show. If there are several, stderr says which one was chosen."""
    from node.line.head_by_hand import line_to_show

    line, remark = line_to_show(store, task)
    if remark:
        click.echo(remark, err=True)
    return line


def short(digest: bytes) -> str:
    """Return the first digits of an id, as printed for people. Every command accepts them."""
    return digest.hex()[:ID_DIGITS]


def print_result(document: Mapping[str, object], *lines: str, as_json: bool) -> None:
    """Print a JSON document for scripts, or the same content as lines for people."""
    if as_json:
        print_json(document)
        return
    for line in lines:
        click.echo(line)


def hex_or_none(digest: bytes | None) -> str | None:
    """Return an id in hex digits for scripts, or None if it is absent."""
    return None if digest is None else digest.hex()
