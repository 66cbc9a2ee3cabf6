"""Hints for wrong command lines: what the user probably meant.

A hint names the right spelling of what was typed. It never suggests to start, stop or change
something that was not asked for. Words of other tools are in `node.commands.habits`.
"""

import difflib
import re
import shlex
from collections.abc import Sequence
from itertools import islice, pairwise
from pathlib import Path

import click

from node.commands.habits import (
    ANSWERS,
    EXPORTED,
    FOUND_BY,
    HARMLESS,
    LOOKING,
    MEANT,
    MEANT_IN_GROUPS,
    MEANT_OPTIONS,
    NAMED_FIRST,
)
from node.commands.table import COMMANDS, EVERYDAY, SYNONYMS
from node.commands.typed_words import (
    NEAR,
    as_options,
    divided,
    is_id,
    is_option,
    near_task,
    repeats,
)
from protocol.errors import ArnodeError

_HELP = ("help", "usage", "?")
_NEAR_COMMAND = 0.65
_MOST_LISTED = 7  # options that a hint can list
_MOST_NAMED = 3  # commands that have an option


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
        wrong_words = [word for word in after if not is_option(word)] or ["--"]
        said = f"there is no command `{path} {wrong_words[0]}`"
        if path.partition(" ")[2] in NAMED_FIRST:
            said = f"`{path}` needs a name first, not `{wrong_words[0]}`"
        return said, _command_hint(wrong_words, context)
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


def _suggest(path: str, asks: str = "did you mean `{}`?") -> str:
    """Return a hint on a command.

    On a command that changes something, and on a group of commands, only the help is suggested.
    """
    root, *names = path.split()
    is_harmless = names[0] == "help" or (names[-1] in HARMLESS and not _is_group(names))
    return asks.format(path) if is_harmless else f"see `{root} help {' '.join(names)}`"


def _is_group(names: Sequence[str]) -> bool:
    return isinstance(_context_of(names).command, click.Group)


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
    if near := _misspelled(word, names):
        return _suggest(f"{path} {near}")
    if context.parent is None:
        if others := difflib.get_close_matches(word, [*SYNONYMS, *MEANT], 1, NEAR):
            return _suggest(f"{path} {_meant(others[0])}", "see `{}`")
        return "`arnode help --all` lists all commands"
    if context.info_name == "export" and is_id(word):
        writes = f"`arnode export experiment {word} DIR` writes its program"
        return f"{writes}, `arnode export patch {word}` its diff"
    if context.info_name == "export" and (suffix := Path(word).suffix):
        command = EXPORTED.get(suffix, "head")
        return f"did you mean `arnode {command} > {shlex.quote(words[0])}`?"
    if meaning := NAMED_FIRST.get(path.partition(" ")[2]):
        return f"name {meaning.format(', '.join(names))}"
    if word in COMMANDS:
        return f"`{word}` is a command of its own: see `arnode help {word}`"
    return f"the commands of `{path}`: {', '.join(names)}"


def _misspelled(word: str, names: Sequence[str]) -> str | None:
    """Return the name that a word begins or misspells; a wrong first letter is rarely a slip."""
    begun = [name for name in names if name.startswith(word) and len(word) > 2]
    if len(begun) == 1:
        return begun[0]
    letters = sorted(word)
    alike = [name for name in names if name[:1] == word[:1] or sorted(name) == letters]
    near = difflib.get_close_matches(word, names, 1, NEAR)
    return next(iter(near or difflib.get_close_matches(word, alike, 1, _NEAR_COMMAND)), None)


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
        if task := near_task(following[0]):
            return f"see `{path} task show {task}`"
        if found := "task show" if following[0] == "task" else _meant(following[0]):
            return _suggest(f"{path} {found}", "see `{}`")
    for meant in (_meant(word) or "", word.removesuffix("s")):  # `config set` and `tasks show`
        group = meant.removesuffix(" show")
        if following and _exists(*group.split(), *following):
            return _suggest(f"{path} {group} {following[0]}")
    found = _meant(word)
    return _suggest(f"{path} {found}", "see `{}`") if found else None


def _group_hint(word: str, names: Sequence[str], context: click.Context) -> str | None:
    """Return a hint for a word of other tools in a group of commands."""
    found = next((name for name in MEANT_IN_GROUPS.get(word, ()) if name in names), None)
    if context.info_name == "task" and (task := near_task(word)):
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
        return f"did you mean {means[0]}?{_help_if_refused(known[means[0]], wrong, words)}"
    if "--task" in wanted:
        return f"`{path}` takes no task: leave it out"
    for one in wanted:
        if takers := _commands_with(one):
            listed = ", ".join(f"`arnode {name}`" for name in takers)
            return f"{one} is an option of {listed}; see `{path} --help`"
    near = difflib.get_close_matches(wrong, known, 1, NEAR)
    return f"did you mean {near[0]}?" if near else _listed(context)


def _help_if_refused(option: click.Option, wrong: str, words: Sequence[str]) -> str:
    """Return an option's help if it takes no such value as was typed after a wrong option."""
    parts = [part for word in words for part in word.split("=", 1)]
    value = next((after for one, after in pairwise([*parts, ""]) if one == wrong), "")
    if option.is_flag or not value:
        return ""
    try:
        option.type.convert(value, option, None)
    except (click.BadParameter, ArnodeError):
        return f" {option.help}"
    return ""


def _commands_with(option: str) -> list[str]:
    """Return the first everyday commands that have an option, those that change nothing first.

    Each command that is looked at is imported, so no more are than needed.
    """
    names = sorted(EVERYDAY, key=lambda name: name not in HARMLESS)
    loaded = ((name, EVERYDAY[name].load(name)) for name in names)
    having = (name for name, command in loaded if any(option in one.opts for one in command.params))
    return list(islice(having, _MOST_NAMED))


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
    if context.command_path == "arnode home config set" and "=" in words[-1]:
        return f"write it as two words: `arnode home config set {words[-1].replace('=', ' ', 1)}`"
    if isinstance(wrong, click.Option):
        said = max(wrong.opts, key=len)
        return f"{said}: {wrong.help}" if wrong.help else _help_of(context)
    return FOUND_BY.get(wrong.make_metavar(ctx=context), _help_of(context))


def _init_command(words: Sequence[str]) -> str | None:
    """Return `task init` for a file, a command or a name that were typed without their flags."""
    words = [word for word in words[2:] if not word.startswith("-")]
    if len(words) == 1 and not Path(words[0]).suffix:
        into, words = f" --into {shlex.quote(words[0])}", ["train.py"]
    else:
        into = ""
    if len(words) == 1:
        words = [*words, f"python {words[0]}"]
    if len(words) != 2 or not Path(words[0]).suffix:
        return None
    target, command = map(shlex.quote, words)
    return f"arnode task init --target {target} --eval {command} --metric NAME{into}"


# Words after a command


def _argument_hint(after: Sequence[str], context: click.Context) -> str:
    """Return a hint for words, after a command, of which it does not take one."""
    path, known = context.command_path, _options(context)
    extras, kept = divided(after, known)
    if any(" -" in one for one in extras):
        return "leave out the quotes around several words"
    takes = [one for one in context.command.params if isinstance(one, click.Argument)]
    if takes and extras[0] in COMMANDS and _exists(extras[0], str(context.info_name)):
        return _suggest(f"arnode {extras[0]} {context.info_name}")  # such as `show task tiny`
    if context.info_name == "diff" and all(Path(one).suffix for one in extras):
        files = " ".join(map(shlex.quote, extras))
        return f"`diff -u {files}` compares files; `arnode help compare` says how to measure both"
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
    options = as_options(extras, known)
    if options and not repeats([*options, *kept], known):
        line = " ".join([path, *map(shlex.quote, [*options, *kept])])
        if context.info_name == "run" and "--task" in options:
            starts = f"arnode start --task {options[1]}"
            return f"`{starts}` runs the node; `{line}` measures the baseline once"
        return f"did you mean `{line}`?"
    if near_task(extra) and "--task" not in known:
        return f"`{path}` takes no task: leave it out"
    if context.info_name == "start" and Path(extra).suffix:
        command = _init_command(("task", "init", extra, f"python {extra}"))
        return f"make a task of it first: `{command}`"
    if "--folder" in known:
        files = "the task's files, such as train.py, from this folder or that of --folder"
        return f"leave it out: `{path}` takes {files}"
    if extra.isdigit() and "--for" in known:
        return _parameter_hint(known["--for"], context, after)
    if is_id(extra):
        return f"see `arnode show {extra}`"
    if extra in COMMANDS:
        return f"`{extra}` is a command of its own: see `arnode help {extra}`"
    if "--task" in known:
        return f"--task NAME names a task, `arnode task list` lists them; {_listed(context)}"
    return f"`{path}` takes no such word; {_listed(context)}"
