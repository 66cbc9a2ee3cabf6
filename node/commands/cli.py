"""The `arnode` command line: it reports every error, and exits with the error's code.

Two lines of text on stderr say what is wrong and how to fix it. A command's module is imported when
the command is used (`node.commands.table`).
"""

import errno
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from node.commands.hints import explained
from node.commands.table import AllCommands
from node.terminal.terminal import AsciiStream, is_ascii_terminal, say
from protocol.errors import ArnodeError

EXIT_INTERRUPTED = 130
# Errors of a write to standard output. Such an error names no file.
_UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def _print_version(context: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        click.echo(f"arnode {version('arnode')}")
        context.exit()


@click.command(cls=AllCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-V", "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version,
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
        _open_missing_streams()
        # A second BLAS thread does not speed up our small matrices, and slows runs down.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        code = _exit_code_of(given, is_debugging)
    except (KeyboardInterrupt, click.Abort):  # also while an error is explained
        code = _report("interrupted", "", EXIT_INTERRUPTED, is_debugging)
    sys.exit(code)


def _exit_code_of(given: Sequence[str], is_debugging: bool) -> int:
    """Run the command line, report its error if any, and return the exit code."""
    try:
        code = cli.main(
            [word for word in given if word != "--debug"], "arnode", standalone_mode=False
        )
        sys.stdout.flush()
    except click.Abort:
        raise
    except ArnodeError as fault:
        code = _report(fault.message, fault.hint, fault.exit_code, is_debugging, fault.printed)
    except click.exceptions.NoArgsIsHelpError as fault:
        click.echo(fault.format_message(), err=True)
        code = fault.exit_code
    except click.UsageError as fault:
        code = _report(*explained(fault, given), fault.exit_code, is_debugging)
    except click.ClickException as fault:
        code = _report(fault.format_message(), "", fault.exit_code, is_debugging)
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
    return code if isinstance(code, int) else 0


def _drop_output() -> None:
    """Redirect stdout to the null device, so that the flush at exit cannot fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _open_missing_streams() -> None:
    """Make sure that the three standard streams and a home folder exist.

    A closed stream is connected to the null device, so that no other file gets its descriptor.
    Output that the encoding cannot represent is written as backslash escapes; a terminal in a
    locale without UTF-8 gets ASCII.
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
    if is_ascii_terminal(sys.stdout):
        sys.stdout = AsciiStream(sys.stdout.buffer, encoding="ascii", line_buffering=True)
    if is_ascii_terminal(sys.stderr):
        sys.stderr = AsciiStream(sys.stderr.buffer, encoding="ascii", line_buffering=True)
    if os.path.expanduser("~") == "~":  # noqa: PTH111 (no HOME, and no entry in passwd)
        os.environ["HOME"] = "/nonexistent"  # Debian's name for it


def _report_bug(fault: Exception, is_debugging: bool) -> int:
    what = f"internal error: {type(fault).__name__}: {fault}"
    return _report(what, "repeat the command with --debug and report the output", 1, is_debugging)


def _report(message: str, hint: str, code: int, is_debugging: bool, printed: str = "") -> int:
    if is_debugging:
        import traceback

        traceback.print_exc()
    from protocol.codecs import plain, printed_lines

    say(f"arnode: {plain(message)}", err=True)
    for line in printed_lines(printed):
        print(f"  {line}", file=sys.stderr)
    if hint:
        say(f"  hint: {plain(hint)}", err=True)
    return code
