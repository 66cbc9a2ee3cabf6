"""The `arnode` command line: it reports every error, and exits with the error's code.

Two lines of text on stderr say what is wrong and how to fix it. A command's module is imported when
the command is used (`node.commands.table`).
"""

import difflib
import errno
import io
import os
import re
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click

from node.commands.table import COMMANDS, AllCommands
from node.terminal.terminal import AsciiStream, is_ascii_terminal, say
from protocol.errors import ArnodeError

EXIT_INTERRUPTED = 130
# The flag for what people type as an argument: `start tiny`, `run train.py`.
_FLAG_OF_ARGUMENT = {
    **dict.fromkeys(("start", "log", "leaderboard", "report"), "--task"),
    "run": "--source",
    "pause": "--for",
}
_FOLLOW = ("-f", "-w", "--follow", "--watch")  # what people type to see a list grow
# Options of other tools, and what they are called here.
_MEANT_OPTIONS = {
    **dict.fromkeys(("--duration", "--time", "--timeout", "--hours"), ("--for",)),
    **dict.fromkeys(("--model", "--llm", "--proposer"), ("--agent",)),
    **dict.fromkeys(("--workers", "--jobs", "-j"), ("--lanes",)),
    **dict.fromkeys(("--port", "--host", "--address"), ("--web",)),
    **dict.fromkeys(("--trials", "--n-trials", "--runs", "-n"), ("--max-experiments", "--limit")),
}
_NEAR = 0.81  # of a misspelled option; options that only look alike are no help
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
    except click.NoSuchOption as fault:
        word = fault.ctx.command_path if fault.ctx else "arnode"
        message = f"there is no option {fault.option_name} of `{word}`"
        code = _report(message, _option_hint(fault, word, given), fault.exit_code, is_debugging)
    except click.ClickException as fault:
        context = fault.ctx if isinstance(fault, click.UsageError) else None
        message = fault.format_message()
        word = f"arnode {given[0]}" if given and given[0] in COMMANDS else "arnode"
        hint = _flag_hint(message, context, word, given)
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


def _option_hint(fault: click.NoSuchOption, word: str, given: Sequence[str]) -> str:
    """Return a hint for an option that a command does not have; `given` are all words typed."""
    wrong = fault.option_name
    if "-help" in given:
        return f"did you mean `{word} --help`?"
    if wrong in _FOLLOW:
        return "`arnode view` shows a running node live; `arnode home logs -f` follows its log"
    known = [name for one in fault.ctx.command.params for name in one.opts] if fault.ctx else []
    means = [one for one in _MEANT_OPTIONS.get(wrong, ()) if one in known]
    near = means or difflib.get_close_matches(wrong, known, 1, _NEAR)
    return f"did you mean {near[0]}?" if near else f"see `{word} --help`"


def _flag_hint(message: str, context: click.Context | None, word: str, given: Sequence[str]) -> str:
    """Return a hint that names the flag that an unexpected argument lacks, or the help."""
    if context is None:
        return f"see `{word} --help`"
    path = context.command_path
    if given[:2] == ["task", "init"] and message.startswith("Missing option"):
        return _init_hint([one for one in given[2:] if not one.startswith("-")])
    extra = re.fullmatch(r"Got unexpected extra argument \((.+)\)", message)
    flag = _FLAG_OF_ARGUMENT.get(context.info_name or "")
    if extra and flag and (flag != "--task" or _is_task(extra[1])):
        return f"did you mean `{path} {flag} {extra[1]}`?"
    if extra and context.info_name == "start" and extra[1].endswith(".py"):
        return f"make a task of it first: `{_init_command(extra[1], f'python {extra[1]}')}`"
    if extra and context.info_name == "log" and _is_id(extra[1]):
        return f"see `arnode show {extra[1]}`"
    return f"see `{path} --help`"


def _init_hint(words: Sequence[str]) -> str:
    """Return a hint for `task init` from words that lack their flags."""
    if len(words) != 2 or not Path(words[0]).suffix:
        return "see `arnode task init --help`"
    return f"did you mean `{_init_command(*words)}`?"


def _init_command(file: str, command: str) -> str:
    target, run = shlex.quote(file), shlex.quote(command)
    return f"arnode task init --target {target} --eval {run} --metric NAME"


def _is_id(word: str) -> bool:
    from node.store.records import ID_PREFIX

    return ID_PREFIX.fullmatch(word) is not None


def _is_task(word: str) -> bool:
    from trainer.task_folder.folder import TASK_FILE, builtin_tasks

    return word in builtin_tasks() or Path(word, TASK_FILE).is_file()


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

    say(f"arnode: {plain(message)}", err=True)
    for line in printed_lines(printed):
        print(f"  {line}", file=sys.stderr)
    if hint:
        say(f"  hint: {plain(hint)}", err=True)
    return code
