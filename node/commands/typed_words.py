"""Words of a command line without their options: which option each one is the value of."""

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

NEAR = 0.81  # similarity above which a word counts as a misspelling
_SPAN = re.compile(r"(\d+[dhms])+")
# A hardware class or the card in it, such as cpu-x86_64, H100 and rtx-4090.
_CLASS = re.compile(r"cpu(-\S+)?|(rtx-?|gtx-?|[a-z]{1,2})\d{1,4}(-\S+)?", re.IGNORECASE)
_PLACE = re.compile(r"([\w.]+:)?(\d{2,5})")  # the port of an address, maybe with its host


def is_option(word: str) -> bool:
    """Return True if a word is the name of an option."""
    return len(word) > 1 and word.startswith("-")


def divided(after: Sequence[str], known: Mapping[str, click.Option]) -> tuple[list[str], list[str]]:
    """Divide the words after a command: those without an option, and options with their values."""
    extras: list[str] = []
    kept: list[str] = []
    is_value = False
    end = after.index("--") if "--" in after else len(after)
    for word in after[:end]:
        (kept if is_value or is_option(word) else extras).append(word)
        is_value = not is_value and word in known and not known[word].is_flag
    return [*extras, *after[end + 1 :]], kept


def as_options(extras: Sequence[str], known: Mapping[str, click.Option]) -> list[str] | None:
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


def repeats(words: Sequence[str], known: Mapping[str, click.Option]) -> bool:
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
    if "--task" in known and (task := near_task(word)):
        return "--task", task
    if "--class" in known and _CLASS.fullmatch(word):
        return "--class", word
    if "--for" in known and _SPAN.fullmatch(word):
        return "--for", word
    if "--source" in known and Path(word).suffix:
        return "--source", word
    if "--web" in known and place:
        return "--web", f"{place[1] or '127.0.0.1:'}{place[2]}"
    return None


def is_id(word: str) -> bool:
    """Return True if a word may be the beginning of an id."""
    from node.store.records import ID_PREFIX

    return ID_PREFIX.fullmatch(word) is not None and not word.isdigit()


def near_task(word: str) -> str | None:
    """Return the task that a word names, maybe misspelled; None if it is none."""
    from trainer.task_folder.folder import TASK_FILE, builtin_tasks

    if Path(word, TASK_FILE).is_file():
        return word
    return next(iter(difflib.get_close_matches(word, builtin_tasks(), 1, NEAR)), None)
