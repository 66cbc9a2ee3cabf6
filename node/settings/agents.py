"""What the setting `agent` takes, stated once for the help, the page and a wrong word's error.

What each of them then does is in `node.proposing.choice`.
"""

import difflib
import re
from dataclasses import dataclass
from itertools import chain
from typing import Final

from node.settings.setting import ValueKind
from node.settings.values import NEAR, text_if

_MODEL: Final = re.compile(r"[A-Za-z0-9][\w.:/@+-]{0,119}")
_OLLAMA: Final = ("ollama:", "ollama/", "ollama_chat/")


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentForm:
    """Words that the setting takes and what they mean; what is in capitals stands for a name."""

    words: tuple[str, ...]
    meaning: str


FORMS: Final = (
    AgentForm(words=("knobs",), meaning="the task's moves and constants, without a language model"),
    AgentForm(
        words=("auto",), meaning="a model or a coding agent if one is found here, else knobs"
    ),
    AgentForm(words=("claude", "codex", "aider"), meaning="that coding agent, if it is installed"),
    AgentForm(words=("ollama:NAME",), meaning="a model that Ollama has"),
    AgentForm(
        words=("MODEL",),
        meaning="a language model by its name, like anthropic/claude-sonnet-4-5, hosted or of the"
        " server `llm_url`",
    ),
    AgentForm(words=("command",), meaning="your own coding agent, which `agent_command` starts"),
    AgentForm(
        words=("none",), meaning="nobody: only what others claim and what is handed in is tried"
    ),
)
_ALL: Final = tuple(chain.from_iterable(form.words for form in FORMS))
AGENTS: Final = tuple(word for word in _ALL if word.islower())
"""The words that mean themselves; every other is a model's name."""

METAVAR: Final = "|".join(_ALL)
_TOLD: Final = "; ".join(f"{', '.join(form.words)} ({form.meaning})" for form in FORMS)
HELP: Final = f"Who proposes: {_TOLD}. Default: knobs."


def model_at_ollama(name: str) -> str | None:
    """Return the name that Ollama has for a model that is to be asked there, else None."""
    for prefix in _OLLAMA:
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return None


def _is_agent(name: str) -> bool:
    # One of ours misspelled, rather than a model: their names have a digit or a provider.
    is_near = name.isalpha() and difflib.get_close_matches(name.lower(), AGENTS, 1, NEAR)
    is_model = not is_near and name not in _ALL and _MODEL.fullmatch(name)
    return name in AGENTS or bool(is_model and model_at_ollama(name) != "")


AGENT: Final = ValueKind(
    text_if(_is_agent),
    f"{', '.join(_ALL[:-1])} or {_ALL[-1]}; `arnode start --help` says what each is",
)
