"""The proposers that the setting `agent` names, or that `auto` finds on this machine.

Each proposer is an arm; several arms share the experiment slots (`node.loop.arms`). A model is used
only if the user named it, or if it is its server's only model. The choice includes a sentence with
the reason.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias, cast, get_args

from node.home.agents import entry_of, is_plugin, model_at_ollama, named_agent
from node.home.config import Config
from node.proposing.keys import ApiKeys, is_key
from node.proposing.servers import OLLAMA_URL, models_at, ollama_models
from protocol.errors import ConfigurationError

Program: TypeAlias = Literal["claude", "codex", "aider"]
_SHOWN: Final = 5  # models in a reason


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnChoice:
    """A proposer without a model: `hyperparameters`, `none`, or a plugin of that name."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramChoice:
    """A known coding agent, or the user's own command."""

    name: Program | Literal["command"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice:
    """A language model: the user's name for it, litellm's name, and its server's URL, if set."""

    name: str
    model: str
    url: str | None


AUTO: Final = ("auto",)  # the setting that searches this machine for proposers
NOBODY: Final = OwnChoice(name="none")
SEARCH: Final = OwnChoice(name="search")
Choice: TypeAlias = OwnChoice | ProgramChoice | ModelChoice


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """A proposer. `text` names the owner's instructions for it; "" means the task's own."""

    choice: Choice
    text: str = ""

    @property
    def name(self) -> str:
        """The name, as in the setting."""
        return entry_of(self.choice.name, self.text)

    def settings(self, config: Config) -> Config:
        """Return the settings for this arm. Only the arm `command` gets `agent_command`."""
        is_others = "command" in _words(config) and self.choice.name != "command"
        return replace(config, agent_command=()) if is_others else config


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The proposers, at least one, and the reason in a sentence."""

    arms: tuple[Arm, ...]
    reason: str


def choose(
    config: Config, keys: ApiKeys, env: Mapping[str, str], *, ollama_url: str = OLLAMA_URL
) -> Chosen:
    """Return the proposers; `auto` searches for them, which takes seconds at most.

    Raises ConfigurationError as `arms_of` does.
    """
    if config.agent == AUTO:
        return _found(config, keys, env, ollama_url)
    return Chosen(arms=arms_of(config), reason=f"`agent` is set to {', '.join(config.agent)}")


def arms_of(config: Config) -> tuple[Arm, ...]:
    """Return the proposers for a setting other than `auto`.

    Raises ConfigurationError for `command` without `agent_command`, and if it is unclear which of
    several coding agents `agent_command` runs.
    """
    named = [named_agent(entry) for entry in config.agent]
    programs = sorted(_words(config) & set(get_args(Program)))
    if config.agent_command and len(programs) > 1 and "command" not in _words(config):
        raise ConfigurationError(
            f"`agent_command` is one command, but `agent` has {' and '.join(programs)}",
            "remove `agent_command`, or write `command` in `agent` for the agent that it starts",
        )
    return tuple(Arm(choice=_chosen_by(one.word, config), text=one.text) for one in named)


def lender(arms: Sequence[Arm]) -> Choice:
    """Return the proposer that a task's programs may call: the first model, if any."""
    choices = [arm.choice for arm in arms]
    return next((one for one in choices if isinstance(one, ModelChoice)), choices[0])


def _words(config: Config) -> set[str]:
    return {named_agent(entry).word for entry in config.agent}


def _chosen_by(word: str, config: Config) -> Choice:
    match word:
        case "search" | "none" as name:
            return OwnChoice(name=name)
        case "claude" | "codex" | "aider" as name:
            return ProgramChoice(name=name)
        case "command":
            if not config.agent_command:
                raise ConfigurationError(
                    "`agent` is `command`, but no command is set",
                    'set `agent_command = ["my-agent", "--file", "{prompt_file}"]`',
                )
            return ProgramChoice(name="command")
        case name if is_plugin(name):
            return OwnChoice(name=name)
        case name:
            return model_named(name, config.llm_url)


def model_named(name: str, url: str | None) -> ModelChoice:
    """Return the model with a name, at the server `url` if it is set."""
    at_ollama = model_at_ollama(name)
    if at_ollama is not None:
        return ModelChoice(
            name=f"ollama:{at_ollama}", model=f"openai/{at_ollama}", url=url or OLLAMA_URL
        )
    # The server gets the whole name, also what precedes a slash.
    return ModelChoice(name=name, model=name if url is None else f"openai/{name}", url=url)


def _found(config: Config, keys: ApiKeys, env: Mapping[str, str], ollama_url: str) -> Chosen:
    remarks: list[str] = []
    if config.llm_url is not None:
        key = None if config.llm_key is None else keys.key(config.llm_key)
        models = models_at(config.llm_url, key=key, watch=keys.watch)
        if models and len(models) == 1:
            only = model_named(models[0], config.llm_url)
            return _chosen(only, f"it is the only model of {config.llm_url}", remarks)
        remarks.append(_remark(f"the server {config.llm_url}", models, "MODEL"))
    elif named := [name for name in keys.names if is_key(name)]:
        remarks.append(f"{', '.join(named)} is set; choose a model with `--agent MODEL`")
    models = ollama_models(ollama_url)
    if models and len(models) == 1:
        choice = ModelChoice(
            name=f"ollama:{models[0]}", model=f"openai/{models[0]}", url=ollama_url
        )
        return _chosen(choice, "it is the only model in Ollama here", remarks)
    if models:
        remarks.append(_remark("Ollama", models, "ollama:NAME"))
    for name in get_args(Program):
        if shutil.which(name, path=env.get("PATH")):
            program = ProgramChoice(name=cast("Program", name))
            return _chosen(program, "it is installed", remarks)
    return _chosen(SEARCH, "it needs no model", remarks)


def _chosen(choice: Choice, why: str, remarks: list[str]) -> Chosen:
    explanation = "; ".join([f"{choice.name} proposes: {why}", *remarks])
    return Chosen(arms=(Arm(choice=choice),), reason=explanation)


def _remark(who: str, models: list[str] | None, wanted: str) -> str:
    if not models:
        return f"{who} lists no model"
    names = ", ".join(models[:_SHOWN]) + (", …" if len(models) > _SHOWN else "")
    return f"{who} has {len(models)} models ({names}): name one with `--agent {wanted}`"
