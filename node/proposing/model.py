"""A language model that the node may call: a worker process, a daily budget and retries.

    with open_cost_database(home) as costs:
        async with open_model(home, config, choice, keys, costs, progress=progress) as model:
            outcome = await model.complete(question)  # a completion or a fault, no exception
            model.limits.context_tokens, model.limits.answer_tokens

Opening sends no question, so an unreachable server only makes the first question fail. A permanent
problem (litellm missing, no key, no price) raises an error at once, with its fix.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Final

from agent.completion import (
    Complete,
    CompletionFault,
    CompletionRequest,
    ModelCompletion,
    ModelCost,
)
from agent.worker.messages import Failure, ModelFacts, ModelSettings
from agent.worker.prices import FREE, MAX_USD_NANO, Price, Usage, nano_of, nano_per_token
from node.home.clock import clock_ms as time_of_day_ms
from node.home.config import Config
from node.home.home import Home
from node.proposing.budget import ModelCostBudget, limits_of
from node.proposing.choice import ModelChoice
from node.proposing.keys import ApiKeys, is_loopback, key_variable
from node.proposing.retrying import Ladder, persistent
from node.proposing.worker import ModelWorker
from node.store.database import Database
from node.terminal.progress import Progress, silent
from protocol.errors import ConfigurationError

# For an unknown model: some servers give 4,096 by default, most give more.
UNKNOWN_CONTEXT_TOKENS: Final = 8_192
# Code and prose have 3 to 4 characters a token. A prompt that is too long is sent again, shorter.
_CHARS_PER_TOKEN: Final = 3
_PROMPTS_A_DAY: Final = 100
_LEAST_CHARS: Final = 24_000  # in addition to the source
_NOTHING: Final = Usage(tokens_in=0, tokens_out=0)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLimits:
    """The largest number of tokens of a prompt with its answer, and of an answer alone."""

    context_tokens: int
    answer_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model that can be asked. `name` is the user's name for it."""

    name: str
    complete: Complete
    limits: ModelLimits
    price: Price
    budget: ModelCostBudget


@asynccontextmanager
async def open_model(
    home: Home,
    config: Config,
    choice: ModelChoice,
    keys: ApiKeys,
    cost_database: Database,
    *,
    progress: Progress = silent,
    clock_ms: Callable[[], int] = time_of_day_ms,
    ladder: Ladder | None = None,
    booked_as: str = "",
) -> AsyncIterator[Model]:
    """Yield a model with a running worker. Its questions are recorded as `booked_as`, if given.

    Raises ConfigurationError if the model cannot answer with these settings, ArnodeError if the
    worker does not start.
    """
    settings = settings_for(config, choice, keys)
    async with ModelWorker(settings, hidden=[home.root], watch=keys.watch) as worker:
        progress(f"starting litellm for {choice.name}", 0.0)
        facts = await worker.facts()
        if facts.provider is None:
            raise ConfigurationError(
                f"litellm knows no provider for the model {choice.name}",
                "write it as `provider/model`; a model on a server of yours needs `llm_url`",
            )
        price = price_for(config, choice, facts)
        budget = ModelCostBudget(
            cost_database,
            limits=limits_of(config),
            model=booked_as or choice.name,
            price=price,
            clock_ms=clock_ms,
        )
        complete = persistent(
            budgeted(worker, budget),
            sleep=asyncio.sleep,
            chance=random.Random(),
            ladder=ladder,
            on_wait=_say_wait,
        )
        yield Model(
            name=choice.name,
            complete=complete,
            limits=limits_for(config, facts),
            price=price,
            budget=budget,
        )


def budgeted(worker: ModelWorker, budget: ModelCostBudget) -> Complete:
    """Return a completion function that stays within the budget, and records its costs."""

    async def complete(question: CompletionRequest) -> ModelCompletion | CompletionFault:
        reservation = budget.reserve(question)
        if isinstance(reservation, CompletionFault):
            return reservation
        try:
            outcome = await worker.ask(question)
        except BaseException:  # the caller was cancelled, and the model may still be at work
            budget.settle(reservation, None)
            raise
        usage = outcome.usage
        if isinstance(outcome, Failure) and usage is None and not outcome.may_have_cost:
            usage = _NOTHING
        answer_text = "" if isinstance(outcome, Failure) else outcome.text
        charge = budget.settle(reservation, usage, answer_bytes=len(answer_text.encode()))
        cost = ModelCost(calls=1, **asdict(charge))
        if isinstance(outcome, Failure):
            return CompletionFault(
                kind=outcome.fault,
                detail=outcome.detail,
                retry_s=None if outcome.retry_ms is None else outcome.retry_ms / 1000,
                cost=cost,
            )
        return ModelCompletion(text=outcome.text, is_cut=outcome.is_cut, cost=cost)

    return complete


def settings_for(config: Config, choice: ModelChoice, keys: ApiKeys) -> ModelSettings:
    """Return the worker's settings, including the key.

    Raises ConfigurationError if a needed key is missing.
    """
    variable = key_variable(config, choice.model, choice.url, keys)
    if variable is None and choice.url is None:
        raise ConfigurationError(
            f"the provider of {choice.name} is unknown",
            "write it with its provider (`openrouter/…`), or give its server: `llm_url`",
        )
    key = None if variable is None else keys.key(variable)
    if variable is not None and key is None:
        raise ConfigurationError(
            f"{choice.name} needs an API key, but {variable} is not set",
            f"export {variable}=…, or name the variable that holds it with `llm_key`;"
            " a model on a server of yours needs `llm_url`",
        )
    return ModelSettings(model=choice.model, api_base=choice.url, api_key=key)


def price_for(config: Config, choice: ModelChoice, facts: ModelFacts) -> Price:
    """Return the price of tokens from the settings, from litellm's list, or 0 on this machine.

    Raises ConfigurationError if the price is unknown, since no limit in USD could then be enforced.
    """
    known = facts.price
    if known is None and choice.url is not None and is_loopback(choice.url):
        known = FREE
    configured_in, configured_out = config.llm_usd_in, config.llm_usd_out
    if configured_in is None and configured_out is None and known is not None:
        return known
    if known is None and (configured_in is None or configured_out is None):
        raise ConfigurationError(
            f"the price of {choice.name} is unknown, so `usd_per_day` cannot be enforced",
            "give its price in USD for a million tokens: `llm_usd_in` and `llm_usd_out`"
            " (0 if it is free)",
        )
    listed = known or FREE
    price = Price(
        usd_nano_in=listed.usd_nano_in if configured_in is None else nano_per_token(configured_in),
        usd_nano_out=listed.usd_nano_out
        if configured_out is None
        else nano_per_token(configured_out),
    )
    if max(price.usd_nano_in, price.usd_nano_out) > MAX_USD_NANO:
        raise ConfigurationError(
            "a token would cost more than 0.001 USD",
            "`llm_usd_in` and `llm_usd_out` are USD for a million tokens",
        )
    return price


def limits_for(config: Config, facts: ModelFacts) -> ModelLimits:
    """Return the limits of prompts and answers; half of the context is for the prompt."""
    context = config.llm_context or facts.context_tokens or UNKNOWN_CONTEXT_TOKENS
    answers = (config.llm_answer, facts.answer_tokens or config.llm_answer, context // 2)
    return ModelLimits(context_tokens=context, answer_tokens=max(1, min(answers)))


def prompt_chars_for(
    config: Config, limits: ModelLimits, price: Price, *, source_chars: int
) -> int:
    """Return the limit of a prompt's length, in characters, by the context and the daily limits.

    Half of the day's money and tokens is divided among `_PROMPTS_A_DAY` prompts. However expensive
    a token is, the limit leaves room for twice the task's `source_chars` and some of the history,
    unless the model's context is shorter.
    """
    held = _CHARS_PER_TOKEN * (limits.context_tokens - limits.answer_tokens)
    usd_nano, tokens = nano_of(config.usd_per_day), config.tokens_per_day
    paid = [usd_nano // price.usd_nano_in] if price.usd_nano_in else []
    paid += [] if tokens is None else [tokens]
    if not paid:
        return held
    of_one = _CHARS_PER_TOKEN * min(paid) // (2 * _PROMPTS_A_DAY)
    return min(held, 2 * source_chars + max(_LEAST_CHARS, of_one))


def _say_wait(fault: CompletionFault, wait_s: float) -> None:
    _log.info("%s; next try in %.0f s", fault.detail, wait_s)
