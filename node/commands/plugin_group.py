"""Command groups with one command per plugin of a kind."""

from collections.abc import Callable
from typing import Any, TypeAlias

import click

from node.commands.table import SummaryGroup
from node.home.plugins import Found, plugins
from protocol.errors import ConfigurationError

CommandOf: TypeAlias = Callable[[Found], click.Command | None]


class PluginGroup(SummaryGroup):
    """A group of fixed commands, and a command for each plugin in the plugin group `group`.

    `command_of` returns a plugin's command, or None if the plugin offers no command here.
    A plugin that cannot be loaded is listed with the reason; its command fails with that reason.
    """

    def __init__(self, *words: Any, group: str, command_of: CommandOf, **more: Any) -> None:
        super().__init__(*words, **more)
        self._group = group
        self._command_of = command_of

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the fixed commands and of the plugins' commands, sorted."""
        plugin_commands = [name for name, one in plugins(self._group).items() if self._command(one)]
        return sorted({*super().list_commands(ctx), *plugin_commands})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a fixed command, or the command of a plugin."""
        if own := super().get_command(ctx, cmd_name):
            return own
        found = plugins(self._group).get(cmd_name)
        return self._command(found) if found else None

    def _command(self, found: Found) -> click.Command | None:
        try:
            return self._command_of(found)
        except ConfigurationError as fault:
            return _broken(found.name, fault)
        except Exception as fault:  # noqa: BLE001 (a plugin may raise anything)
            what = f"cannot create its command: {type(fault).__name__}: {fault}"
            return _broken(found.name, found.fault(what))


def _broken(name: str, fault: ConfigurationError) -> click.Command:
    def raise_fault(**_: Any) -> None:
        raise fault

    taking_all = {"ignore_unknown_options": True, "allow_extra_args": True}
    return click.Command(
        name,
        callback=raise_fault,
        help=fault.message,
        context_settings=taking_all,
        add_help_option=False,
    )
