"""The table of `arnode`'s commands, as strings, and the groups that import a command when used."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import click

_UNCUT = 10_000  # characters of a summary
SHOWS_ALL = "arnode.all"  # in a context's `meta`: the help lists all commands


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandEntry:
    """A command's summary, and the module and name of its function, or the commands of a group."""

    summary: str
    module: str = ""
    attribute: str = ""
    group: "Mapping[str, CommandEntry] | None" = None

    def load(self, name: str) -> click.Command:
        """Import the command, or make the group."""
        if self.group is not None:
            return LazyGroup(name, entries=self.group, help=self.summary)
        command = getattr(import_module(self.module), self.attribute)
        assert isinstance(command, click.Command)  # noqa: S101 (the table names only commands)
        return command


def _table(commands: Mapping[str, tuple[str, str]]) -> dict[str, CommandEntry]:
    """Return entries for each command's module, maybe with `:function`, and its summary.

    A module without a dot is in `node.commands`.
    """
    entries = {}
    for name, (place, summary) in commands.items():
        module, _, attribute = place.partition(":")
        entries[name] = CommandEntry(
            summary=summary,
            module=module if "." in module else f"node.commands.{module}",
            attribute=attribute or name.replace("-", "_"),
        )
    return entries


def _group(summary: str, commands: Mapping[str, tuple[str, str]]) -> CommandEntry:
    return CommandEntry(summary=summary, group=_table(commands))


_EVERYDAY = "Commands"
_SECTIONS: Mapping[str, Mapping[str, CommandEntry]] = {
    _EVERYDAY: _table(
        {
            "start": ("node_control", "Run the node here."),
            "stop": ("node_control", "Stop the node; `start` resumes."),
            "status": ("node_control", "Show what the node is doing."),
            "view": ("viewing", "Open the page in a browser."),
            "log": ("history", "List this node's experiments."),
            "show": ("history", "Show one record in full."),
            "head": ("heads", "Print the verified head."),
            "try": ("agents:try_", "Measure and judge your edit."),
            "task": ("task_import", "List, show, make and import tasks."),
            "verify": ("verifying", "Re-run a claim here."),
            "leaderboard": ("leaderboard", "Show a task's leaderboard."),
            "demo": ("demo", "Run a demo network here."),
        }
    ),
    "The running node and this machine": _table(
        {
            "pause": ("node_control", "Pause the node."),
            "resume": ("node_control", "End a pause."),
            "approve": ("approving", "Decide what may run."),
            "doctor": ("maintenance", "Check this machine."),
        }
    ),
    "Measuring without a record": _table(
        {
            "run": ("measure", "Measure a source."),
            "compare": ("measure", "Compare two sources in pairs."),
        }
    ),
    "Results": _table(
        {
            "diff": ("history", "Print an experiment's diff."),
            "report": ("report", "Report what happened."),
            "export": ("exporting", "Export to other tools."),
            "import": ("importing:import_", "Import bundles and logs."),
        }
    ),
    "Groups of commands": {
        "network": _group(
            "Meet other nodes: networks, invites, peers and friends.",
            {
                "show": ("network", "Show this node's addresses and its networks."),
                "init": ("network", "Define a new network."),
                "invite": ("network", "Print an invite."),
                "join": ("network", "Join a network by an invite."),
                "peers": ("node_control", "Show who is connected."),
                "friends": ("friends", "Prefer some authors' claims."),
                "block": ("friends", "Ignore an author."),
                "sign-list": ("signing:sign_list_", "Sign a list of addresses."),
                "bootstrap": ("bootstrap.command", "Run a bootstrap node for peers."),
            },
        ),
        "agent": _group(
            "Use language models and coding agents.",
            {
                "skill": ("agents", "Print instructions for an agent."),
                "propose": ("agents", "Show one proposal."),
                "compare": ("compare_programs:compare_programs", "Compare two proposers."),
                "spending": ("model_costs", "Show and correct model costs."),
            },
        ),
        "home": _group(
            "Look after this node's files, settings and keys.",
            {
                "paths": ("housekeeping", "Show where the files are."),
                "config": ("housekeeping", "Show, check and change settings."),
                "key": ("housekeeping", "Show and renew the node's keys."),
                "logs": ("housekeeping", "Show the node's log."),
                "fsck": ("maintenance", "Check and fix the home."),
                "gc": ("maintenance", "Remove unused files."),
            },
        ),
        "worker": _group(
            "Measure on your other machines.",
            {
                "lane": ("machines", "Serve as a node's lane, over ssh."),
                "ray-head": ("machines", "Run the head of a Ray cluster."),
                "ray-join": ("machines", "Join this machine to a Ray cluster."),
            },
        ),
    },
    "Help": _table(
        {
            "help": ("help", "Explain a command or a term."),
            "completion": ("housekeeping", "Print shell completion."),
        }
    ),
}

EVERYDAY = _SECTIONS[_EVERYDAY]
COMMANDS: Mapping[str, CommandEntry] = {
    name: entry for commands in _SECTIONS.values() for name, entry in commands.items()
}

# Words of other tools that do what they say here.
SYNONYMS = {
    "ls": "log",
    "history": "log",
    "best": "head",
    "ui": "view",
    "dashboard": "view",
}


class SummaryGroup(click.Group):
    """A group whose help lists the first sentence of each command's help, never cut."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with their summaries."""
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        _write_section(
            formatter,
            "Commands",
            {name: one.get_short_help_str(_UNCUT) for name, one in commands.items() if one},
        )


class LazyGroup(click.Group):
    """A group of commands, each imported only when it is used."""

    def __init__(
        self, name: str | None = None, *, entries: Mapping[str, CommandEntry], **more: Any
    ) -> None:
        super().__init__(name, **more)
        self._entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the command names in the order of the table."""
        return list(self._entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        entry = self._entries.get(cmd_name)
        return None if entry is None else entry.load(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with their summaries."""
        _write_section(formatter, "Commands", _summaries(self._entries))


class AllCommands(LazyGroup):
    """All commands. It understands synonyms, and lists commands by heading."""

    def __init__(self, name: str | None = None, **more: Any) -> None:
        super().__init__(name, entries=COMMANDS, **more)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve a command or a synonym. Raises click.UsageError if there is none."""
        return super().resolve_command(ctx, [SYNONYMS.get(args[0], args[0]), *args[1:]])

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the everyday commands; with `help --all`, every section."""
        shows_all = ctx.meta.get(SHOWS_ALL)
        for heading, commands in _SECTIONS.items():
            if shows_all or heading == _EVERYDAY:
                _write_section(formatter, heading, _summaries(commands))
        if not shows_all:
            formatter.write_paragraph()
            formatter.write_text("`arnode help --all` lists all commands.")


def _summaries(commands: Mapping[str, CommandEntry]) -> dict[str, str]:
    return {name: entry.summary for name, entry in commands.items()}


def _write_section(
    formatter: click.HelpFormatter, heading: str, summaries: Mapping[str, str]
) -> None:
    with formatter.section(heading):
        formatter.write_dl(list(summaries.items()), col_spacing=3)
