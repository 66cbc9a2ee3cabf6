"""What the setting `agent` means, and what `auto` finds on this machine.

Nothing is invented: a model is asked only if the user named it, or if its server has no other.
What was chosen comes with one line that says why.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, cast, get_args

from node.proposing.keys import ApiKeys, is_key
from node.proposing.servers import OLLAMA_URL, models_at, ollama_models
from node.settings.agents import model_at_ollama
from node.settings.config import Config
from protocol.errors import ConfigurationError

Program: TypeAlias = Literal["claude", "codex", "aider"]
_SHOWN: Final = 5  # models in a reason


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnChoice:
    """What needs no model: `knobs`, or nobody."""

    name: Literal["knobs", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramChoice:
    """A coding agent that is known here, or the user's own command."""

    name: Program | Literal["command"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice:
    """A language model: as the user calls it, as litellm does, and its server if it is named."""

    name: str
    model: str
    url: str | None


NOBODY: Final = OwnChoice(name="none")
Choice: TypeAlias = OwnChoice | ProgramChoice | ModelChoice


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Who proposes, and in one line why."""

    choice: Choice
    reason: str


def choose(
    config: Config, keys: ApiKeys, env: Mapping[str, str], *, ollama_url: str = OLLAMA_URL
) -> Chosen:
    """Return who proposes; `auto` looks around, which takes seconds at most.

    Raises ConfigurationError for `command` without `agent_command`.
    """
    if config.agent == "auto":
        return _found(config, keys, env, ollama_url)
    return Chosen(choice=chosen_by(config), reason=f"`agent` is set to {config.agent}")


def chosen_by(config: Config) -> Choice:
    """Return what a setting other than `auto` names.

    Raises ConfigurationError for `command` without `agent_command`.
    """
    match config.agent:
        case "knobs" | "none" as name:
            return OwnChoice(name=name)
        case "claude" | "codex" | "aider" as name:
            return ProgramChoice(name=name)
        case "command":
            if not config.agent_command:
                raise ConfigurationError(
                    "`agent` is `command`, and no command is set",
                    'set `agent_command = ["my-agent", "--file", "{prompt_file}"]`',
                )
            return ProgramChoice(name="command")
        case name:
            return _model(name, config.llm_url)


def _model(name: str, url: str | None) -> ModelChoice:
    at_ollama = model_at_ollama(name)
    if at_ollama is not None:
        return ModelChoice(
            name=f"ollama:{at_ollama}", model=f"openai/{at_ollama}", url=url or OLLAMA_URL
        )
    # The server is given the name as it is written, whatever stands before a slash in it.
    return ModelChoice(name=name, model=name if url is None else f"openai/{name}", url=url)


def _found(config: Config, keys: ApiKeys, env: Mapping[str, str], ollama_url: str) -> Chosen:
    remarks: list[str] = []
    if config.llm_url is not None:
        key = None if config.llm_key is None else keys.key(config.llm_key)
        models = models_at(config.llm_url, key=key)
        if models and len(models) == 1:
            only = _model(models[0], config.llm_url)
            return _chosen(only, f"it is the one model of {config.llm_url}", remarks)
        remarks.append(_remark(f"the server {config.llm_url}", models, "MODEL"))
    elif named := [name for name in keys.names if is_key(name)]:
        remarks.append(f"{', '.join(named)} is set and names no model: `--agent MODEL`")
    models = ollama_models(ollama_url)
    if models and len(models) == 1:
        choice = ModelChoice(
            name=f"ollama:{models[0]}", model=f"openai/{models[0]}", url=ollama_url
        )
        return _chosen(choice, "it is the one model that Ollama has here", remarks)
    if models:
        remarks.append(_remark("Ollama", models, "ollama:NAME"))
    for name in get_args(Program):
        if shutil.which(name, path=env.get("PATH")):
            program = ProgramChoice(name=cast("Program", name))
            return _chosen(program, "it is installed", remarks)
    return _chosen(OwnChoice(name="knobs"), "it needs no model", remarks)


def _chosen(choice: Choice, why: str, remarks: list[str]) -> Chosen:
    return Chosen(choice=choice, reason="; ".join([f"{choice.name} proposes: {why}", *remarks]))


def _remark(who: str, models: list[str] | None, wanted: str) -> str:
    if not models:
        return f"{who} lists no model"
    names = ", ".join(models[:_SHOWN]) + (", …" if len(models) > _SHOWN else "")
    return f"{who} has {len(models)} models ({names}): name one with `--agent {wanted}`"
