"""Hints for wrong command lines: what the user probably meant.

A hint names the right spelling of what was typed. It never suggests to start, stop or change
something that was not asked for. Words of other tools are in `node.commands.habits`.
"""

import difflib
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from node.commands.habits import (
    ANSWERS,
    FOUND_BY,
    HARMLESS,
    LOOKING,
    MEANT,
    MEANT_IN_GROUPS,
    MEANT_OPTIONS,
)
from node.commands.table import COMMANDS, EVERYDAY, SYNONYMS

_HELP = ("help", "usage", "?")
_NEAR = 0.81  # of a misspelled option; options that only look alike are no help
_NEAR_COMMAND = 0.65
_MOST_LISTED = 7  # options that a hint can list
_MOST_NAMED = 3  # commands that have an option
_SPAN = re.compile(r"(\d+[dhms])+")
_PLACE = re.compile(r"([\w.]+:)?(\d{2,5})")  # the port of an address, maybe with its host


def explained(fault: click.UsageError, given: Sequence[str]) -> tuple[str, str]:
    """Return the message on a wrong command line, and a hint; `given` are all words typed."""
    context = fault.ctx or _context_of(given)
    path, message = context.command_path, " ".join(fault.format_message().split())
    words = [word for word in given if word != "--debug"]
    after = _after(path.split()[1:], words)
    match fault:
        case click.NoSuchOption():
            said = f"there is no option {fault.option_name} of `{path}`"
            return said, _option_hint(fault.option_name, context, words)
        case click.BadParameter(param=click.Parameter() as wrong):
            return message, _parameter_hint(wrong, context, words)
        case click.BadOptionUsage():
            options = [one for one in context.command.params if fault.option_name in one.opts]
            hint = _parameter_hint(options[0], context, words) if options else _help_of(context)
            return message, hint
    if message.startswith("No such command"):
        wrong_words = [word for word in after if not _is_option(word)] or ["--"]
        return f"there is no command `{path} {wrong_words[0]}`", _command_hint(wrong_words, context)
    if message.startswith("Got unexpected extra argument"):
        return message, _argument_hint(after, context)
    return message, _help_of(context)


def _after(names: Sequence[str], words: Sequence[str]) -> list[str]:
    """Return the words that follow the names of a command and its groups."""
    left = list(words)
    for name in names:
        while left and name not in (left[0], SYNONYMS.get(left[0])):
            del left[0]
        del left[:1]
    return left


def help_hint(term: str) -> str | None:
    """Return a hint for a term of other tools that `arnode help` does not know."""
    found = _meant(term)
    meaning = f"see `arnode help {found.removeprefix('help ')}`" if found else None
    return ANSWERS.get(term) or meaning


def _meant(word: str) -> str | None:
    """Return the command that a word of people or of a group means, such as `home config`."""
    groups = (group for group, entry in COMMANDS.items() if entry.group and word in entry.group)
    grouped = next((f"{group} {word}" for group in groups), None)
    return MEANT.get(word) or grouped or SYNONYMS.get(word)


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


def _is_option(word: str) -> bool:
    return len(word) > 1 and word.startswith("-")


def _suggest(path: str, asks: str = "did you mean `{}`?") -> str:
    """Return a hint on a command; on one that changes something, only its help is suggested."""
    root, *names = path.split()
    is_harmless = names[0] == "help" or names[-1] in HARMLESS
    return asks.format(path) if is_harmless else f"see `{root} help {' '.join(names)}`"


def _answer(word: str, context: click.Context) -> str | None:
    _, *names = context.command_path.split()
    general = ANSWERS.get(word) if word.startswith("-") else None
    return ANSWERS.get(" ".join([*names, word])) or general


# Words in place of a command


def _command_hint(words: Sequence[str], context: click.Context) -> str:
    """Return a hint for words of which the first is no command of a group."""
    path, group, word = context.command_path, context.command, words[0].lower()
    assert isinstance(group, click.Group)  # noqa: S101 (only a group has commands)
    names = group.list_commands(context)
    if word in names:
        return f"commands are in lower case: {_suggest(f'{path} {word}', 'see `{}`')}"
    if word in _HELP:
        return _help_of(context)
    if answer := _answer(word, context):
        return answer
    hint = _root_hint(words, path) if context.parent is None else _group_hint(word, names, context)
    if hint:
        return hint
    if found := _inside(word, group, context):
        return _suggest(f"{path} {found}")
    begun = [name for name in names if name.startswith(word) and len(word) > 2]
    near = begun if len(begun) == 1 else difflib.get_close_matches(word, names, 1, _NEAR_COMMAND)
    if near:
        return _suggest(f"{path} {near[0]}")
    if context.parent is None:
        if others := difflib.get_close_matches(word, [*SYNONYMS, *MEANT], 1, _NEAR):
            return f"see `{path} {_meant(others[0])}`"
        return "`arnode help --all` lists all commands"
    if "/" in word or "." in word:
        return f"name one of these first: {', '.join(names)}"
    if word in COMMANDS:
        return f"`{word}` is a command of its own: see `arnode help {word}`"
    return f"the commands of `{path}`: {', '.join(names)}"


def _root_hint(words: Sequence[str], path: str) -> str | None:
    """Return a hint for words of other tools, of which the first is no command of arnode."""
    word, following = words[0].lower(), [one.lower() for one in words[1:2]]
    first, *others = re.split(r"[ _-]+", word)
    if " " in word and first in COMMANDS:
        return f"leave out the quotes: `{path} {words[0]}`"
    if others and first in COMMANDS:  # such as `task-list`
        command = [first, *others] if _exists(first, *others) else [first]
        return _suggest(f"{path} {' '.join(command)}")
    if word in LOOKING and following:  # such as `list tasks` and `describe task tiny`
        if task := _near_task(following[0]):
            return f"see `{path} task show {task}`"
        if found := "task show" if following[0] == "task" else _meant(following[0]):
            return _suggest(f"{path} {found}", "see `{}`")
    for group in (_meant(word) or "", word.removesuffix("s")):  # `config set` and `tasks show`
        if following and _exists(*group.split(), *following):
            return _suggest(f"{path} {group} {following[0]}")
    found = _meant(word)
    return _suggest(f"{path} {found}", "see `{}`") if found else None


def _group_hint(word: str, names: Sequence[str], context: click.Context) -> str | None:
    """Return a hint for a word of other tools in a group of commands."""
    found = next((name for name in MEANT_IN_GROUPS.get(word, ()) if name in names), None)
    if context.info_name == "task" and (task := _near_task(word)):
        found = f"show {task}"
    return f"did you mean `{context.command_path} {found}`?" if found else None


def _exists(*names: str) -> bool:
    return len(_context_of(names).command_path.split()) == len(names) + 1


def _inside(word: str, group: click.Group, context: click.Context) -> str | None:
    """Return the group of this group that has a command of this name, and the name."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group) and word in command.list_commands(context):
            return f"{name} {word}"
    return None


# Options


def _options(context: click.Context) -> dict[str, click.Option]:
    """Return the options of a command by each of their names."""
    params = context.command.params
    return {name: one for one in params if isinstance(one, click.Option) for name in one.opts}


def _listed(context: click.Context) -> str:
    """Return the options of a command if they are few, else where they are explained."""
    shown = list(dict.fromkeys(max(one.opts, key=len) for one in _options(context).values()))
    is_short = 0 < len(shown) <= _MOST_LISTED
    return f"its options: {', '.join(shown)}" if is_short else _help_of(context)


def _option_hint(wrong: str, context: click.Context, words: Sequence[str]) -> str:
    path, known = context.command_path, _options(context)
    for word in words:  # of `-json` click reports `-j`, of `-help` `-e`
        if wrong[1:2] in word and f"-{word}" in [*known, "--help"]:
            return f"did you mean `{path} -{word}`?"
    if " " in wrong:
        return "leave out the quotes around several words"
    if answer := _answer(wrong, context):
        return answer
    if context.parent is None:
        return _hint_before_command(wrong, context, words)
    if isinstance(context.command, click.Group):
        names = ", ".join(context.command.list_commands(context))
        return f"the commands of `{path}`: {names}"
    if wrong[1:].isdigit() and "--limit" in known:  # such as `log -5`
        return f"did you mean `{path} --limit {wrong[1:]}`?"
    wanted = (*MEANT_OPTIONS.get(wrong, ()), wrong)
    if means := [one for one in wanted if one in known]:
        return f"did you mean {means[0]}?"
    if "--task" in wanted:
        return f"`{path}` takes no task: leave it out"
    for one in wanted:
        if takers := _commands_with(one):
            listed = ", ".join(f"`arnode {name}`" for name in takers)
            return f"{one} is an option of {listed}; see `{path} --help`"
    near = difflib.get_close_matches(wrong, known, 1, _NEAR)
    return f"did you mean {near[0]}?" if near else _listed(context)


def _commands_with(option: str) -> list[str]:
    """Return some everyday commands that have an option, those that change nothing first."""
    names = [
        name
        for name, entry in EVERYDAY.items()
        if any(option in one.opts for one in entry.load(name).params)
    ]
    return sorted(names, key=lambda name: name not in HARMLESS)[:_MOST_NAMED]


def _hint_before_command(wrong: str, context: click.Context, words: Sequence[str]) -> str:
    """Return a hint for an option before the command."""
    known = _options(context)
    if command := next((word for word in words if word in COMMANDS), None):
        loaded = COMMANDS[command].load(command)
        if any(wrong in one.opts for one in loaded.params):
            return f"options come after the command: `arnode {command} {wrong} …`"
        return f"see `arnode {command} --help`"
    if means := [one for one in MEANT_OPTIONS.get(wrong, ()) if one in known]:
        return f"did you mean {means[0]}?"
    name = wrong.lstrip("-")
    return _suggest(f"arnode {name}", "see `{}`") if name in COMMANDS else _help_of(context)


def _parameter_hint(wrong: click.Parameter, context: click.Context, words: Sequence[str]) -> str:
    """Return what a missing or wrong argument, option or value of an option is."""
    if context.command_path == "arnode task init" and (command := _init_command(words)):
        return f"did you mean `{command}`?"
    if isinstance(wrong, click.Option):
        said = max(wrong.opts, key=len)
        return f"{said}: {wrong.help}" if wrong.help else _help_of(context)
    return FOUND_BY.get(wrong.make_metavar(ctx=context), _help_of(context))


def _init_command(words: Sequence[str]) -> str | None:
    """Return `task init` for a file and a command that were typed without their flags."""
    words = [word for word in words[2:] if not word.startswith("-")]
    if len(words) != 2 or not Path(words[0]).suffix:
        return None
    target, command = map(shlex.quote, words)
    return f"arnode task init --target {target} --eval {command} --metric NAME"


# Words after a command


def _argument_hint(after: Sequence[str], context: click.Context) -> str:
    """Return a hint for words, after a command, of which it does not take one."""
    path, known = context.command_path, _options(context)
    extras, kept = _divided(after, known)
    if any(" -" in one for one in extras):
        return "leave out the quotes around several words"
    takes = [one for one in context.command.params if isinstance(one, click.Argument)]
    if takes and extras[0] in COMMANDS and _exists(extras[0], str(context.info_name)):
        return _suggest(f"arnode {extras[0]} {context.info_name}")  # such as `show task tiny`
    if takes:
        metavars = " ".join(one.make_metavar(ctx=context) for one in takes)
        amount = f"one {metavars} at a time" if len(takes) == 1 else metavars
        return f"it takes {amount}; {FOUND_BY.get(metavars, _help_of(context))}"
    extra = extras[0]
    if extra in _HELP:
        return _help_of(context)
    if answer := _answer(extra, context):
        return answer
    if "-m" in kept:
        return "put words that belong together in quotes"
    options = _as_options(extras, known)
    if options and not _repeats([*options, *kept], known):
        line = " ".join([path, *map(shlex.quote, [*options, *kept])])
        if context.info_name == "run" and "--task" in options:
            starts = f"arnode start --task {options[1]}"
            return f"`{starts}` runs the node; `{line}` measures the baseline once"
        return f"did you mean `{line}`?"
    if _near_task(extra) and "--task" not in known:
        return f"`{path}` takes no task: leave it out"
    if context.info_name == "start" and Path(extra).suffix:
        command = _init_command(("task", "init", extra, f"python {extra}"))
        return f"make a task of it first: `{command}`"
    if "--folder" in known:
        return f"plain `{path}` takes the task's files, such as train.py, of this folder"
    if extra.isdigit() and "--for" in known:
        return _parameter_hint(known["--for"], context, after)
    if _is_id(extra):
        return f"see `arnode show {extra}`"
    if extra in COMMANDS:
        return f"`{extra}` is a command of its own: see `arnode help {extra}`"
    if "--task" in known:
        return f"--task NAME names a task, `arnode task list` lists them; {_listed(context)}"
    return f"`{path}` takes no such word; {_listed(context)}"


def _divided(
    after: Sequence[str], known: Mapping[str, click.Option]
) -> tuple[list[str], list[str]]:
    """Divide the words after a command: those without an option, and options with their values."""
    extras: list[str] = []
    kept: list[str] = []
    is_value = False
    end = after.index("--") if "--" in after else len(after)
    for word in after[:end]:
        (kept if is_value or _is_option(word) else extras).append(word)
        is_value = not is_value and word in known and not known[word].is_flag
    return [*extras, *after[end + 1 :]], kept


def _as_options(extras: Sequence[str], known: Mapping[str, click.Option]) -> list[str] | None:
    """Return the words as the options that they lack, or None if one fits no option."""
    options: list[str] = []
    left = list(extras)
    while left:
        word = left.pop(0)
        option = known.get(f"--{word}")
        if option is not None and option.is_flag:  # such as `head working`
            options.append(f"--{word}")
        elif option is not None and left:  # such as `start for 1h`
            options += [f"--{word}", left.pop(0)]
        elif pair := _option_of_value(word, known):
            options += pair
        else:
            return None
    return options


def _repeats(words: Sequence[str], known: Mapping[str, click.Option]) -> bool:
    """Return True if words have an option twice that a command takes once."""
    single = [known[one].name for one in words if one in known and not known[one].multiple]
    return len(set(single)) < len(single)


def _option_of_value(word: str, known: Mapping[str, click.Option]) -> tuple[str, str] | None:
    """Return the option that a value belongs to, and the value as the option takes it."""
    place = _PLACE.fullmatch(word)
    counts = [one for one in ("--limit", "--top") if one in known]
    if "-m" in known and " " in word:
        return "-m", word
    if word.isdigit() and counts:
        return counts[0], word
    if "--task" in known and (task := _near_task(word)):
        return "--task", task
    if "--for" in known and _SPAN.fullmatch(word):
        return "--for", word
    if "--source" in known and Path(word).suffix:
        return "--source", word
    if "--web" in known and place:
        return "--web", f"{place[1] or '127.0.0.1:'}{place[2]}"
    return None


def _is_id(word: str) -> bool:
    from node.store.records import ID_PREFIX

    return ID_PREFIX.fullmatch(word) is not None and not word.isdigit()


def _near_task(word: str) -> str | None:
    """Return the task that a word names, maybe misspelled; None if it is none."""
    from trainer.task_folder.folder import TASK_FILE, builtin_tasks

    if Path(word, TASK_FILE).is_file():
        return word
    return next(iter(difflib.get_close_matches(word, builtin_tasks(), 1, _NEAR)), None)
