"""Groups of commands that have one for each plugin of a kind."""

from collections.abc import Callable
from typing import Any, TypeAlias

import click

from node.home.plugins import Found, plugins
from protocol.errors import ConfigurationError

CommandOf: TypeAlias = Callable[[Found], click.Command | None]


class PluggedGroup(click.Group):
    """A group with a command for each plugin of `group`, as `command_of` makes it, beside its own.

    It makes None of a plugin that is not for this group. One that cannot be loaded is listed with
    the reason, and ends with it.
    """

    def __init__(self, *words: Any, group: str, command_of: CommandOf, **more: Any) -> None:
        super().__init__(*words, **more)
        self._group = group
        self._command_of = command_of

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of its own commands, and of those that plugins are."""
        plugged = [name for name, one in plugins(self._group).items() if self._command(one)]
        return sorted({*super().list_commands(ctx), *plugged})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return one of its own, or what a plugin is."""
        if own := super().get_command(ctx, cmd_name):
            return own
        found = plugins(self._group).get(cmd_name)
        return self._command(found) if found else None

    def _command(self, found: Found) -> click.Command | None:
        try:
            return self._command_of(found)
        except ConfigurationError as fault:
            return _broken(found.name, fault)
        except Exception as fault:  # noqa: BLE001 (what a plugin says of itself makes no command)
            what = f"makes no command: {type(fault).__name__}: {fault}"
            return _broken(found.name, found.fault(what))


def _broken(name: str, fault: ConfigurationError) -> click.Command:
    def tell(**_: Any) -> None:
        raise fault

    taking_all = {"ignore_unknown_options": True, "allow_extra_args": True}
    return click.Command(
        name, callback=tell, help=fault.message, context_settings=taking_all, add_help_option=False
    )
