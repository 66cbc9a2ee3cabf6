"""The check whether a proposer works: send a model one question, or search for a program.

litellm's errors do not distinguish a refused connection from a wrong address or a missing key. So a
fault is named by what happened to the request, together with the fix.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Literal

from agent.completion import ChatMessage, CompletionFault, CompletionRequest, ModelCompletion
from agent.plugin import ProposerPlugin
from agent.worker.key_watch import KeyWatch
from agent.worker.prices import Price
from node.home.config import Config
from node.home.home import Home
from node.home.plugins import PROPOSERS, plugin
from node.proposing.budget import open_cost_database, temporary_cost_database
from node.proposing.choice import NOBODY, SEARCH, Choice, ModelChoice, OwnChoice, ProgramChoice
from node.proposing.command import command_fault, terms_of
from node.proposing.keys import ApiKeys, key_variable
from node.proposing.model import open_model
from node.proposing.retrying import Ladder
from node.proposing.servers import OLLAMA_URL, models_at
from node.proposing.worker import NEW_KEY
from node.store.database import Database
from node.terminal.progress import Progress

ANSWER_TOKENS: Final = 64  # a reasoning model needs some before its answer
LIMIT_S: Final = 120.0  # a server may have to load the model
_SHOWN: Final = 5
_QUESTION: Final = CompletionRequest(
    messages=(ChatMessage(role="user", content="Answer with one word: ready?"),),
    max_tokens=ANSWER_TOKENS,
    timeout_s=LIMIT_S,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """A proposer's state, and the fix for a problem."""

    status: Literal["ok", "warning", "problem"]
    detail: str
    hint: str = ""


def diagnose(
    home: Home,
    config: Config,
    choice: Choice,
    keys: ApiKeys,
    env: Mapping[str, str],
    progress: Progress,
) -> Diagnosis:
    """Return the state of a proposer. The cost of its question is recorded in the home.

    Raises ArnodeError if the proposer cannot work with these settings.
    """
    match choice:
        case OwnChoice():
            if choice not in (SEARCH, NOBODY):
                plugin(PROPOSERS, choice.name, "proposer").load(ProposerPlugin)
            return Diagnosis(status="ok", detail=f"{choice.name}: uses no model")
        case ProgramChoice():
            return _program(choice.name, home, config, env)
        case ModelChoice():
            return asyncio.run(_model(home, config, choice, keys, progress))


def _program(name: str, home: Home, config: Config, env: Mapping[str, str]) -> Diagnosis:
    fault = command_fault(name, config, home, env=env)
    if fault is None:
        words = terms_of(name, config, home, env=env).words(config)
        return Diagnosis(status="ok", detail=f"`{name}` is installed; {words}")
    detail, hint = fault
    return Diagnosis(status="problem", detail=detail, hint=hint)


async def _model(
    home: Home, config: Config, choice: ModelChoice, keys: ApiKeys, progress: Progress
) -> Diagnosis:
    cost_database: AbstractContextManager[Database] = (
        open_cost_database(home) if home.store.exists() else temporary_cost_database()
    )
    with cost_database as database:
        patience = Ladder(again={})  # report the first fault, without retries
        async with open_model(
            home, config, choice, keys, database, progress=progress, ladder=patience
        ) as model:
            progress(f"asking {choice.name}", 0.0)
            began_s = time.monotonic()
            outcome = await model.complete(_QUESTION)
            took_s = time.monotonic() - began_s
    if isinstance(outcome, ModelCompletion) or outcome.kind == "empty":
        context = model.limits.context_tokens
        detail = f"{choice.name} answers in {took_s:.1f} s; {_costs(model.price)}"
        return Diagnosis(status="ok", detail=f"{detail}, {context} tokens of context")
    is_passing = outcome.kind in ("over_budget", "rate_limited", "server", "timeout")
    return Diagnosis(
        status="warning" if is_passing else "problem",
        detail=f"{choice.name}: {outcome.detail}",
        hint=hint_for(outcome, config, choice, keys),
    )


def _costs(price: Price) -> str:
    if not price.usd_nano_in and not price.usd_nano_out:
        return "its tokens are free"
    per_million_in, per_million_out = price.usd_nano_in / 1000, price.usd_nano_out / 1000
    return f"{per_million_in:g} and {per_million_out:g} USD for a million tokens in and out"


def hint_for(fault: CompletionFault, config: Config, choice: ModelChoice, keys: ApiKeys) -> str:
    """Return the fix for a fault."""
    variable = key_variable(config, choice.model, choice.url, keys)
    match fault.kind:
        case "unauthorized" if variable is None:
            return "name the variable that holds the server's key with `llm_key`"
        case "unauthorized":
            return f"set {variable} to a key that is valid for this model and has credit"
        case "unknown_model":
            return _models(choice, None if variable is None else keys.key(variable), keys.watch)
        case "unreachable" if choice.url == OLLAMA_URL:
            return "start Ollama (`ollama serve`), or give its address: `llm_url`"
        case "unreachable" if choice.url is not None:
            return "start the server, or fix `llm_url`"
        case "unreachable":
            return "check this machine's network; no proxy is used"
        case "garbage" if choice.url is not None:
            return "set `llm_url` to the address of an OpenAI-compatible API; most end in /v1"
        case "leaked_key":
            return NEW_KEY
        case "over_budget":
            return "wait for the next day, or raise `usd_per_day` (or the limit in the message)"
        case "overflow":
            return "configure a longer context for the model, or choose another model"
    return "try again later; see `arnode home logs`"


def _models(choice: ModelChoice, key: str | None, watch: KeyWatch) -> str:
    listed = None if choice.url is None else models_at(choice.url, key=key, watch=watch)
    if not listed:
        return "choose one of the provider's models: `--agent provider/model`"
    names = ", ".join(listed[:_SHOWN]) + (", …" if len(listed) > _SHOWN else "")
    return f"the server has {names}: name one with `--agent`"
