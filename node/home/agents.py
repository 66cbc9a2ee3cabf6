"""The values of the setting `agent`, defined once for the help, the page and error messages.

`node.proposing.choice` defines what each value does. Settings that give a role to a model accept
models in the same form.
"""

import difflib
import re
from collections import Counter
from dataclasses import dataclass
from itertools import chain
from typing import Final

from node.home.plugins import PROPOSERS, plugins
from node.home.setting import ValueKind
from node.home.values import NEAR, Given, WrongWordError, words
from node.home.values import text as any_text
from protocol.codecs import IDENTIFIER_PATTERN

_MODEL: Final = re.compile(r"[A-Za-z0-9][\w.:/@+-]{0,119}")
_OLLAMA: Final = ("ollama:", "ollama/", "ollama_chat/")
_MARK: Final = "#"  # occurs in no model's name
_TEXT: Final = re.compile(r"[a-z0-9-]{1,48}")
_ALONE: Final = ("auto", "none")
_READS_NONE: Final = ("search", *_ALONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentForm:
    """Values of the setting with the same meaning. A word in capitals is a placeholder."""

    words: tuple[str, ...]
    meaning: str


FORMS: Final = (
    AgentForm(
        words=("search",), meaning="the built-in search: the task's moves and hyperparameters"
    ),
    AgentForm(words=("auto",), meaning="a model or coding agent on this machine, else search"),
    AgentForm(words=("claude", "codex", "aider"), meaning="that coding agent, if it is installed"),
    AgentForm(words=("ollama:NAME",), meaning="a model in Ollama"),
    AgentForm(
        words=("MODEL",),
        meaning="a hosted model such as anthropic/claude-sonnet-4-5, or one at `llm_url`",
    ),
    AgentForm(words=("PLUGIN",), meaning="a plugin's proposer, by its name"),
    AgentForm(words=("command",), meaning="your own coding agent, set in `agent_command`"),
    AgentForm(
        words=("none",), meaning="no proposer: only peers' claims and submitted sources are run"
    ),
)
_ALL: Final = tuple(chain.from_iterable(form.words for form in FORMS))
AGENTS: Final = tuple(word for word in _ALL if word.islower())
"""The fixed words; any other word names a plugin or a model."""

METAVAR: Final = "|".join(_ALL)
_TOLD: Final = "; ".join(f"{', '.join(form.words)} ({form.meaning})" for form in FORMS)
HELP: Final = (
    f"The proposer; repeat for several: {_TOLD}. WORD#TEXT: with your instructions TEXT."
    " Default: search."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedAgent:
    """An entry of the setting: the word for a proposer, and the instructions that it gets.

    `text` is the name of the user's instructions in the home's folder `programs`; "" means the
    task's own instructions.
    """

    word: str
    text: str = ""


def named_agent(entry: str) -> NamedAgent:
    """Parse one entry of the setting."""
    word, _, text = entry.partition(_MARK)
    return NamedAgent(word=word, text=text)


def entry_of(word: str, text: str) -> str:
    """Return the entry of the setting for a proposer, `word#text` or `word`.

    `word` is the proposer's name in the setting. `text` is the name of its instructions, or "".
    """
    return f"{word}{_MARK}{text}" if text else word


def model_at_ollama(name: str) -> str | None:
    """Return Ollama's name for a model if the model is to run there, else None."""
    for prefix in _OLLAMA:
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return None


def _is_agent(name: str) -> bool:
    # A near word is a misspelling and not a model: models' names have a digit or a provider.
    is_near = name.isalpha() and difflib.get_close_matches(name.lower(), AGENTS, 1, NEAR)
    is_model = not is_near and name not in _ALL and _MODEL.fullmatch(name)
    return name in AGENTS or is_plugin(name) or bool(is_model and model_at_ollama(name) != "")


def is_plugin(name: str) -> bool:
    """Return True if there is a proposer plugin with this name."""
    is_word = name not in AGENTS and re.fullmatch(IDENTIFIER_PATTERN, name)
    return bool(is_word) and name in plugins(PROPOSERS)


def _agents(value: Given) -> tuple[str, ...]:
    """Return the proposers, one entry each."""
    entries = words(value)
    if not entries:
        raise ValueError
    for entry in entries:
        _check(entry)
    alone = [entry for entry in entries if entry in _ALONE]
    if alone and len(entries) > 1:
        raise WrongWordError(f"{alone[0]} cannot be combined with another proposer: remove one")
    count = Counter(map(_same, entries))
    if twice := [entry for entry in entries if count[_same(entry)] > 1]:
        raise WrongWordError(f"{twice[0]} is named twice: remove one")
    return entries


def _check(entry: str) -> None:
    named = named_agent(entry)
    if not _is_agent(named.word):
        raise WrongWordError(f"{entry!r} is not a proposer")
    if _MARK not in entry:
        return
    if named.word in _READS_NONE or is_plugin(named.word):
        raise WrongWordError(f"{entry!r}: {named.word} takes no instructions; write {named.word}")
    if not _TEXT.fullmatch(named.text):
        raise WrongWordError(f"{entry!r}: use a-z, 0-9 and - after the #, at most 48")


def _same(entry: str) -> NamedAgent:
    """Return an entry in a normal form, which is equal for two spellings of the same proposer."""
    named = named_agent(entry)
    at_ollama = model_at_ollama(named.word)
    return named if at_ollama is None else NamedAgent(word=f"ollama:{at_ollama}", text=named.text)


AGENT: Final = ValueKind(
    _agents,
    f"{', '.join(_ALL[:-1])} or {_ALL[-1]}, or a list of them"
    f' ["search", "claude{_MARK}bold"]; `arnode start --help` explains each',
)


def _model(value: Given) -> str:
    """Return the name of a language model. Raises WrongWordError if it is something else."""
    name = any_text(value)
    if name in AGENTS or is_plugin(name):
        raise WrongWordError(f"{name} is not a language model")
    if not _is_agent(name):
        raise WrongWordError(f"{name!r} does not name a language model")
    return name


MODEL: Final = ValueKind(
    _model, "a language model, as in `agent`: ollama:NAME, or the model's name, in quotes"
)
