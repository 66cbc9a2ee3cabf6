"""The `arnode` command line: a table of strings, so that `--help` imports no command.

A command's module is imported when the command is used. Every error is reported here: two lines of
text on stderr say what is wrong and how to fix it, and the process exits with the error's code.
"""

import difflib
import errno
import io
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from keyword import iskeyword
from typing import NoReturn

import click

from protocol.errors import ArnodeError, UsageError

EXIT_INTERRUPTED = 130
# Errors of a write to standard output. Such an error names no file.
_UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """A command's module and the name of its function."""

    module: str
    attribute: str


# By heading: each command's module and its one-line summary. A module without a dot is in
# `node.commands`.
_SECTIONS = {
    "Commands": {
        "start": ("node_control", "Run the node here."),
        "status": ("node_control", "Show what the node is doing."),
        "try": ("agents", "Measure and judge your edit."),
        "head": ("heads", "Print the verified head."),
        "leaderboard": ("leaderboard", "Show a task's leaderboard."),
        "verify": ("verifying", "Re-run a claim here."),
        "log": ("history", "List this node's experiments."),
        "show": ("history", "Show one record in full."),
        "view": ("viewing", "Open the page in a browser."),
        "report": ("report", "Report what happened."),
        "doctor": ("maintenance", "Check this machine."),
    },
    "The running node": {
        "stop": ("node_control", "Stop the node; `start` resumes."),
        "pause": ("node_control", "Pause the node."),
        "resume": ("node_control", "End a pause."),
        "logs": ("housekeeping", "Show the node's log."),
    },
    "Measuring and changing the head": {
        "run": ("measure", "Measure a source."),
        "compare": ("measure", "Compare two sources in pairs."),
        "replicate": ("replicate", "Measure published findings here."),
        "carry": ("carrying", "Try another rung's patches."),
        "adopt": ("heads", "Change the verified head."),
        "revert": ("heads", "Go back to the previous head."),
    },
    "History": {
        "diff": ("history", "Print an experiment's diff."),
        "insights": ("insights", "Show which changes worked."),
        "replay": ("replay", "Write an experiment to a folder."),
        "export": ("exporting", "Export results for other tools."),
        "import": ("importing", "Import bundles and logs."),
    },
    "Other people": {
        "demo": ("demo", "Run a demo network here."),
        "transfer": ("transfer", "Show gains by hardware class."),
        "peers": ("node_control", "Show who is connected."),
        "invite": ("network", "Print an invite."),
        "join": ("network", "Join a network by an invite."),
        "bootstrap": ("bootstrap.command", "Run a bootstrap node for peers."),
        "network": ("signing", "Show and define networks."),
        "friends": ("friends", "Prefer some authors' claims."),
        "block": ("friends", "Ignore an author."),
    },
    "Your other machines": {
        "ray": ("machines", "Join your machines with Ray."),
        "lane": ("machines", "Serve as a node's remote lane."),
    },
    "Coding agents": {
        "propose": ("agents", "Show one proposal."),
        "skill": ("agents", "Print a guide for an agent."),
        "compare-programs": ("compare_programs", "Compare two proposers."),
        "spending": ("model_costs", "Show and correct model costs."),
    },
    "Housekeeping": {
        "task": ("task_import", "List, show and prepare tasks."),
        "key": ("housekeeping", "Show and renew the node's keys."),
        "config": ("housekeeping", "Show and check settings."),
        "paths": ("housekeeping", "Show where the files are."),
        "fsck": ("maintenance", "Check and fix the home."),
        "gc": ("maintenance", "Remove unused files."),
        "help": ("help", "Explain a command or a term."),
        "completion": ("housekeeping", "Print shell completion."),
    },
}

COMMANDS = {
    name: CommandEntry(
        module=module if "." in module else f"node.commands.{module}",
        attribute=f"{name}_" if iskeyword(name) else name.replace("-", "_"),
    )
    for commands in _SECTIONS.values()
    for name, (module, _) in commands.items()
}


class LazyGroup(click.Group):
    """A command group that imports a command only when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the command names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command = getattr(import_module(entry.module), entry.attribute)
        assert isinstance(command, click.Command)  # noqa: S101 (the table names only commands)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve a command. Raises UsageError with the closest name if there is none."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, 1, 0.5)
            hint = f"did you mean `arnode {near[0]}`?" if near else "see `arnode --help`"
            raise UsageError(f"there is no command `{args[0]}`", hint)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by section, everyday commands first."""
        for section, commands in _SECTIONS.items():
            with formatter.section(section):
                lines = [(name, summary) for name, (_, summary) in commands.items()]
                formatter.write_dl(lines, col_spacing=3)


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
        hint = f"see `{context.command_path if context else 'arnode'} --help`"
        code = _report(fault.format_message(), hint, fault.exit_code, is_debugging)
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
