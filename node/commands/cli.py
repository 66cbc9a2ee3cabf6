"""The `arnode` command line: a table of strings, so that `--help` imports no command.

A command's module is imported when the command is used. Every error is reported here: two lines of
text on stderr say what is wrong and how to fix it, and the process exits with the error's code.
"""

import difflib
import errno
import io
import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NoReturn

import click

from protocol.errors import ArnodeError, UsageError

EXIT_INTERRUPTED = 130
# The flag for what people type as an argument: `start tiny`, `run train.py`.
_FLAG_OF_ARGUMENT = {"start": "--task", "run": "--source", "log": "--task", "leaderboard": "--task"}
SHOWS_ALL = "arnode.all"  # in a context's `meta`: the help lists all commands
# Errors of a write to standard output. Such an error names no file.
_UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


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
            return LazyGroup(name, {"Commands": self.group}, help=self.summary)
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

COMMANDS: Mapping[str, CommandEntry] = {
    name: entry for commands in _SECTIONS.values() for name, entry in commands.items()
}

# Words of other tools that do what they say here.
_SYNONYMS = {
    "ls": "log",
    "history": "log",
    "best": "head",
    "ui": "view",
    "dashboard": "view",
}
# What people call things, and the commands that show them.
_MEANT: Mapping[str, str] = {
    **dict.fromkeys(("settings", "setting", "configure", "options"), "home config"),
    **dict.fromkeys(("cost", "costs", "usage", "budget", "money"), "agent spending"),
    **dict.fromkeys(("model", "models", "llm", "proposer", "proposers"), "agent"),
    **dict.fromkeys(("node", "nodes", "peer", "people", "swarm"), "network peers"),
    **dict.fromkeys(("list", "results", "trials", "experiments", "runs"), "log"),
    **dict.fromkeys(("progress", "info", "ps", "top"), "status"),
    **dict.fromkeys(("code", "source", "cat"), "head"),
    **dict.fromkeys(("web", "open", "gui", "page"), "view"),
    **dict.fromkeys(("tasks", "problems"), "task list"),
    **dict.fromkeys(("machines", "hosts", "lanes", "cluster"), "worker"),
    **dict.fromkeys(("files", "where", "folder"), "home paths"),
    "init": "task init",
}
# Only these are suggested for a wrong word: a guess must not start, stop or change anything.
_HARMLESS = (
    "status", "view", "log", "show", "head", "task", "leaderboard", "doctor", "diff", "report",
    "network", "agent", "home", "worker", "help",
)  # fmt: skip


def meant(word: str) -> str | None:
    """Return the command that a word of people or of a group means, such as `home config`."""
    for group, entry in COMMANDS.items():
        if entry.group and word in entry.group and word not in _MEANT:
            return f"{group} {word}"
    return _MEANT.get(word) or _SYNONYMS.get(word)


class LazyGroup(click.Group):
    """A group of commands by heading, each imported only when it is used."""

    def __init__(
        self,
        name: str | None = None,
        sections: Mapping[str, Mapping[str, CommandEntry]] = _SECTIONS,
        **more: Any,
    ) -> None:
        super().__init__(name, **more)
        self._sections = sections
        self._entries = {
            name: entry for section in sections.values() for name, entry in section.items()
        }

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the command names in the order of the table."""
        return list(self._entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        entry = self._entries.get(cmd_name)
        return None if entry is None else entry.load(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve a command. Raises UsageError with a hint if there is none."""
        word = args[0]
        if self._sections is _SECTIONS:
            args = [_SYNONYMS.get(word, word), *args[1:]]
        if args[0] not in self._entries and not word.startswith("-"):
            path = ctx.command_path
            raise UsageError(f"there is no command `{path} {word}`", self._hint(path, word))
        return super().resolve_command(ctx, args)

    def _hint(self, path: str, word: str) -> str:
        if self._sections is not _SECTIONS:
            return f"`{path} --help` lists the commands"
        if found := meant(word):
            return f"see `{path} {found}`"
        near = difflib.get_close_matches(word, [*COMMANDS, *_SYNONYMS, *_MEANT], 1, 0.65)
        if near and near[0] in _HARMLESS:
            return f"did you mean `{path} {near[0]}`?"
        return f"`{path} help --all` lists all commands"

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the everyday commands; with `--all`, every section."""
        is_whole = self._sections is not _SECTIONS or ctx.meta.get(SHOWS_ALL)
        for heading, commands in self._sections.items():
            if is_whole or heading == _EVERYDAY:
                with formatter.section(heading):
                    lines = [(name, entry.summary) for name, entry in commands.items()]
                    formatter.write_dl(lines, col_spacing=3)
        if not is_whole:
            formatter.write_paragraph()
            formatter.write_text("`arnode help --all` lists all commands.")


def _print_version(context: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        click.echo(f"arnode {version('arnode')}")
        context.exit()


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version,
    help="Print the version.",
)  # fmt: skip
@click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    help="Show tracebacks; allowed anywhere in the command line.",
)
def cli() -> None:
    """Search for better training code on this machine, and verify every gain."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given == ["version"]:
        given = ["--version"]
    is_debugging = "--debug" in given
    if arguments is None:  # this process runs nothing else
        _install_signal_handlers()
        _open_missing_streams()
        # A second BLAS thread does not speed up our small matrices, and slows runs down.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        code = cli.main(
            [word for word in given if word != "--debug"], "arnode", standalone_mode=False
        )
        sys.stdout.flush()
    except ArnodeError as fault:
        code = _report(fault.message, fault.hint, fault.exit_code, is_debugging, fault.printed)
    except click.exceptions.NoArgsIsHelpError as fault:
        click.echo(fault.format_message(), err=True)
        code = fault.exit_code
    except click.ClickException as fault:
        context = fault.ctx if isinstance(fault, click.UsageError) else None
        message = fault.format_message()
        word = f"arnode {given[0]}" if given and given[0] in COMMANDS else "arnode"
        hint = _flag_hint(message, context, word)
        code = _report(message, hint, fault.exit_code, is_debugging)
    except (KeyboardInterrupt, click.Abort):
        code = _report("interrupted", "", EXIT_INTERRUPTED, is_debugging)
    except BrokenPipeError:
        _drop_output()  # the reader closed the pipe
        code = 0
    except OSError as fault:
        if fault.errno not in _UNWRITABLE or fault.filename is not None:
            code = _report_bug(fault, is_debugging)
        else:
            _drop_output()
            what = f"cannot write the output: {(fault.strerror or 'refused').lower()}"
            hint = "the output is incomplete: free some space, or write it to another disk"
            code = _report(what, hint, 1, is_debugging)
    except Exception as fault:  # noqa: BLE001 (the outermost supervisor)
        code = _report_bug(fault, is_debugging)
    sys.exit(code if isinstance(code, int) else 0)


def _flag_hint(message: str, context: click.Context | None, word: str) -> str:
    """Return a hint that names the flag that an unexpected argument lacks, or the help."""
    if context is None:
        return f"see `{word} --help`"
    extra = re.fullmatch(r"Got unexpected extra argument \((.+)\)", message)
    flag = _FLAG_OF_ARGUMENT.get(context.info_name or "")
    if extra and flag:
        return f"did you mean `{context.command_path} {flag} {extra[1]}`?"
    return f"see `{context.command_path} --help`"


def _drop_output() -> None:
    """Redirect stdout to the null device, so that the flush at exit cannot fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _open_missing_streams() -> None:
    """Make sure that the three standard streams and a home folder exist.

    A closed stream is connected to the null device, so that no other file gets its descriptor.
    Output that the encoding cannot represent is written as backslash escapes.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free descriptor
    sys.stdin = sys.stdin or open(0)  # noqa: SIM115 (a descriptor)
    sys.stdout = sys.stdout or open(1, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if os.path.expanduser("~") == "~":  # noqa: PTH111 (no HOME, and no entry in passwd)
        os.environ["HOME"] = "/nonexistent"  # Debian's name for it


def _install_signal_handlers() -> None:
    """Treat SIGTERM and SIGHUP like Ctrl-C, so that unfinished work is cleaned up."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # under `nohup` SIGHUP stays ignored
            signal.signal(number, _interrupt)


def _interrupt(*_: object) -> None:
    # A shell's background job ignores SIGINT. It must still end at SIGTERM and SIGHUP.
    if signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, signal.SIG_DFL):
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)


def _report_bug(fault: Exception, is_debugging: bool) -> int:
    what = f"internal error: {type(fault).__name__}: {fault}"
    return _report(what, "repeat the command with --debug and report the output", 1, is_debugging)


def _report(message: str, hint: str, code: int, is_debugging: bool, printed: str = "") -> int:
    if is_debugging:
        import traceback

        traceback.print_exc()
    from protocol.codecs import plain, printed_lines

    print(f"arnode: {plain(message)}", file=sys.stderr)
    for line in printed_lines(printed):
        print(f"  {line}", file=sys.stderr)
    if hint:
        print(f"  hint: {plain(hint)}", file=sys.stderr)
    return code
