"""Hints for command lines with a wrong option or argument: what the user probably meant.

A hint names the right spelling of what was typed. It never suggests to start, stop or change
something that was not asked for. Words that are no command get theirs in `node.commands.table`.
"""

import difflib
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import click

from node.commands.table import COMMANDS

# Options of other tools, and what they are called here.
_MEANT_OPTIONS = {
    **dict.fromkeys(
        ("--duration", "--time", "--timeout", "--hours", "--budget", "--max-time"), ("--for",)
    ),
    **dict.fromkeys(("--model", "--llm", "--proposer"), ("--agent",)),
    **dict.fromkeys(("--workers", "--jobs", "-j"), ("--lanes",)),
    **dict.fromkeys(("--port", "--host", "--address"), ("--web",)),
    **dict.fromkeys(("--trials", "--n-trials", "--runs", "-n"), ("--max-experiments", "--limit")),
    **dict.fromkeys(("--tail", "--lines", "--count", "--max-count"), ("--limit",)),
    **dict.fromkeys(("-t", "--name", "--problem"), ("--task",)),
    **dict.fromkeys(("--message", "--why", "--description"), ("-m",)),
    "-v": ("-V",),
}
_FOLLOW = ("-f", "-w", "--follow", "--watch")  # what people type to see a list grow
_BACKGROUND = ("-d", "--daemon", "--detach", "--background", "-b")
_OUTPUT = ("-o", "--output", "--out", "--file")
_PRINTING = ("head", "log", "show", "diff", "report", "leaderboard")
_ALL = ("-a", "--all", "--force", "--now")
_NEAR = 0.81  # of a misspelled option; options that only look alike are no help
_MOST_LISTED = 7  # options that a hint can list
# Where the missing argument of a command is found.
_FOUND_BY = {
    "ID": "`arnode log` lists ids",
    "ID|BUNDLE": "`arnode log` and `arnode leaderboard` list ids",
    "NAME": "`arnode task list` lists names",
}


def usage_hint(fault: click.UsageError, given: Sequence[str]) -> str:
    """Return a hint for a wrong use of a command; `given` are all words typed."""
    context = fault.ctx or _context_of(given)
    match fault:
        case click.NoSuchOption():
            return _option_hint(fault.option_name, context, given)
        case click.MissingParameter(param=click.Parameter() as lacking):
            return _missing_hint(lacking, context, given)
        case click.BadOptionUsage():
            options = [one for one in context.command.params if fault.option_name in one.opts]
            return _missing_hint(options[0], context, given) if options else _help_of(context)
    extra = re.fullmatch(r"Got unexpected extra arguments? \((.+)\)", fault.format_message())
    return _argument_hint(extra[1], context) if extra else _help_of(context)


def _context_of(given: Sequence[str]) -> click.Context:
    """Return a context of the command that was typed, since click omits it from some errors."""
    context = click.Context(click.Command("arnode"), info_name="arnode")
    group = None
    for word in given:
        if group is None:
            command = COMMANDS[word].load(word) if word in COMMANDS else None
        else:
            command = group.get_command(context, word)
        if command is not None:
            context = click.Context(command, info_name=word, parent=context)
            if not isinstance(command, click.Group):
                break
            group = command
    return context


def _help_of(context: click.Context) -> str:
    return f"see `{context.command_path} --help`"


def _names(context: click.Context) -> list[str]:
    return [name for one in context.command.params for name in one.opts if name.startswith("-")]


def _option_hint(wrong: str, context: click.Context, given: Sequence[str]) -> str:
    path, known = context.command_path, _names(context)
    if "-help" in given:
        return f"did you mean `{path} --help`?"
    if " " in wrong:
        return "leave out the quotes around several words"
    if wrong in _FOLLOW:
        return "`arnode view` shows a running node live; `arnode home logs -f` follows its log"
    if wrong in _BACKGROUND and context.info_name == "start":
        return "`nohup arnode start … &` runs it in the background; docs/service.md: as a service"
    if wrong in _OUTPUT and context.info_name in _PRINTING:
        return f"it prints: end the command with `> FILE`, or see `{path} --help`"
    if wrong in _ALL and context.info_name == "stop":
        return "plain `arnode stop` stops the node of this home"
    if context.parent is None:
        return _hint_before_command(wrong, context, given)
    if isinstance(context.command, click.Group):
        names = ", ".join(context.command.list_commands(context))
        return f"the commands of `{path}`: {names}"
    if context.info_name == "run" and (option := _option_of_start(wrong)):
        return f"`arnode start` runs the node and has {option}; `{path}` measures a source once"
    means = [one for one in _MEANT_OPTIONS.get(wrong, ()) if one in known]
    if near := means or difflib.get_close_matches(wrong, known, 1, _NEAR):
        return f"did you mean {near[0]}?"
    shown = [max(one.opts, key=len) for one in context.command.params if one.opts[0] in known]
    is_short = 0 < len(shown) <= _MOST_LISTED
    return f"its options: {', '.join(shown)}" if is_short else _help_of(context)


def _option_of_start(wrong: str) -> str | None:
    """Return the option of `start` that was typed or meant; None if it has none such."""
    names = [name for one in COMMANDS["start"].load("start").params for name in one.opts]
    return next((one for one in (wrong, *_MEANT_OPTIONS.get(wrong, ())) if one in names), None)


def _hint_before_command(wrong: str, context: click.Context, given: Sequence[str]) -> str:
    """Return a hint for an option before the command."""
    known = _names(context)
    if command := next((word for word in given if word in COMMANDS), None):
        loaded = COMMANDS[command].load(command)
        if any(wrong in one.opts for one in loaded.params):
            return f"options come after the command: `arnode {command} {wrong} …`"
        return f"see `arnode {command} --help`"
    if wrong in _MEANT_OPTIONS and (
        means := [one for one in _MEANT_OPTIONS[wrong] if one in known]
    ):
        return f"did you mean {means[0]}?"
    name = wrong.lstrip("-")
    return f"see `arnode {name}`" if name in COMMANDS else _help_of(context)


def _missing_hint(lacking: click.Parameter, context: click.Context, given: Sequence[str]) -> str:
    """Return what a missing argument, option or value of an option is."""
    if context.command_path == "arnode task init" and (command := _init_command(given)):
        return f"did you mean `{command}`?"
    if isinstance(lacking, click.Option):
        said = max(lacking.opts, key=len)
        return f"{said}: {lacking.help}" if lacking.help else _help_of(context)
    return _FOUND_BY.get(lacking.make_metavar(ctx=context), _help_of(context))


def _init_command(given: Sequence[str]) -> str | None:
    """Return `task init` for a file and a command that were typed without their flags."""
    words = [word for word in given[2:] if not word.startswith("-")]
    if len(words) != 2 or not Path(words[0]).suffix:
        return None
    target, command = map(shlex.quote, words)
    return f"arnode task init --target {target} --eval {command} --metric NAME"


def _argument_hint(extra: str, context: click.Context) -> str:
    """Return a hint for an argument that a command does not take."""
    path, known = context.command_path, _names(context)
    takes = [one for one in context.command.params if isinstance(one, click.Argument)]
    if takes:
        return f"it takes one {takes[0].make_metavar(ctx=context)}: `{path} --help`"
    if " -" in extra:
        return "leave out the quotes around several words"
    if "-m" in known and " " in extra:
        return "put words that belong together in quotes"
    extra = extra.split(maxsplit=1)[0]
    if task := _near_task(extra):
        if context.info_name == "run":
            starts, measures = f"arnode start --task {task}", f"arnode run --task {task}"
            return f"`{starts}` runs the node; `{measures}` measures the baseline once"
        usage = f"did you mean `{path} --task {task}`?"
        return usage if "--task" in known else f"`{path}` takes no task: leave it out"
    if "--source" in known and Path(extra).suffix:
        return f"did you mean `{path} --source {extra}`?"
    if context.info_name == "start" and Path(extra).suffix:
        command = _init_command(("task", "init", extra, f"python {extra}"))
        return f"make a task of it first: `{command}`"
    if context.info_name == "pause" and extra[:1].isdigit():
        return f"did you mean `{path} --for {extra}`?"
    if "--folder" in known:
        return f"plain `{path}` takes the task's files, such as train.py, of this folder"
    if context.info_name == "stop":
        return "plain `arnode stop` stops the node of this home"
    if _is_id(extra):
        return f"see `arnode show {extra}`"
    return f"`{path}` takes no such word: see `{path} --help`"


def _is_id(word: str) -> bool:
    from node.store.records import ID_PREFIX

    return ID_PREFIX.fullmatch(word) is not None


def _near_task(word: str) -> str | None:
    """Return the task that a word names, maybe misspelled; None if it is none."""
    from trainer.task_folder.folder import TASK_FILE, builtin_tasks

    if Path(word, TASK_FILE).is_file():
        return word
    return next(iter(difflib.get_close_matches(word, builtin_tasks(), 1, _NEAR)), None)
