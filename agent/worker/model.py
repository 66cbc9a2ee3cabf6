"""A model behind litellm: its known facts and its answers. Only this module imports litellm.

litellm is configured to fetch nothing, retry nothing and report to nobody. `agent.worker.exchange`
derives faults from its requests. A missing answer raises nothing: it is a `Failure`.
"""

import asyncio
import gc
import os
import re
import time
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final

from agent.worker.exchange import (
    FaultVerdict,
    ModelExchange,
    given_up,
    judge,
    states_fault,
    without_key,
)
from agent.worker.key_watch import STOPPED, KeyWatch, leaked, without_secrets
from agent.worker.messages import (
    TEXT_BYTES,
    Failure,
    ModelFacts,
    ModelSettings,
    Reply,
    WorkerRequest,
)
from agent.worker.prices import MAX_TOKENS, MAX_USD_NANO, Price, Usage, nano_of

# Set before the import. Otherwise litellm fetches prices and headers, and reads `.env` files.
_QUIET: Final = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_MODE": "PRODUCTION",
}
_NO_KEY: Final = "none"  # the key for a server that needs none
_DEARER: Final = re.compile(r"(input|output)_cost_per_token_above_(\d+)k_tokens")


class LiteLlm:
    """A client for one model. Creating it takes seconds, because litellm is imported.

    Raises:
        ImportError: litellm is not installed.
    """

    def __init__(self, settings: ModelSettings) -> None:
        self._settings = settings
        self._watch = KeyWatch([settings.api_key] if settings.api_key else [])
        self._litellm = _import_quietly()

    def facts(self) -> ModelFacts:
        """Return the model's facts in litellm's list.

        If the user names a server's address, price and limits are unknown.
        """
        if self._settings.api_base is not None:
            return ModelFacts(
                provider="openai", price=None, context_tokens=None, answer_tokens=None
            )
        entry = self._entry()
        return ModelFacts(
            provider=self._provider(),
            price=price_of(entry),
            context_tokens=_count(entry.get("max_input_tokens")),
            answer_tokens=_count(entry.get("max_output_tokens")),
        )

    async def ask(self, ask: WorkerRequest) -> Reply | Failure:
        """Return the model's answer, or the reason there is none, within the time limit.

        A server that revealed its key is never asked again.
        """
        if self._watch.is_revealed(self._settings.api_key):
            return leaked(ask.id, STOPPED)
        answer = await self._answer(ask)
        return await asyncio.to_thread(without_secrets, answer, self._watch)

    async def _answer(self, ask: WorkerRequest) -> Reply | Failure:
        from agent.worker.transport import current

        exchange = ModelExchange()
        current.set(exchange)
        limit_s = ask.timeout_ms / 1000
        try:
            async with asyncio.timeout(limit_s):
                response = await self._litellm.acompletion(
                    model=self._settings.model,
                    messages=[{"role": one.role, "content": one.content} for one in ask.messages],
                    max_tokens=ask.max_tokens,
                    api_base=self._settings.api_base,
                    api_key=self._key(),
                    timeout=limit_s,
                    num_retries=0,
                    max_retries=0,
                )
        except TimeoutError:
            return self._failure(ask, given_up(exchange, limit_s=limit_s))
        except Exception as fault:  # noqa: BLE001 (litellm lets through whatever its parts raise)
            return self._failure(ask, judge(exchange, said=str(fault), now_s=time.time()))
        return self._reply(ask, exchange, response)

    def _reply(self, ask: WorkerRequest, exchange: ModelExchange, response: Any) -> Reply | Failure:
        usage = usage_of(getattr(response, "usage", None))
        choices = getattr(response, "choices", None) or []
        if not choices and states_fault(exchange):
            return self._failure(ask, judge(exchange, said="", now_s=time.time()), usage)
        text = getattr(choices[0].message, "content", None) if choices else None
        reason = str(getattr(choices[0], "finish_reason", None)) if choices else "no choice"
        if not isinstance(text, str) or not text.strip():
            detail = f"the model's answer is empty ({reason})"
            if reason == "length":
                detail = f"the model used all {ask.max_tokens} tokens for reasoning"
            return self._failure(ask, FaultVerdict(kind="empty", detail=detail), usage)
        if len(text.encode("utf-8", "replace")) > TEXT_BYTES:
            detail = f"an answer of more than {TEXT_BYTES} bytes"
            return self._failure(ask, FaultVerdict(kind="garbage", detail=detail), usage)
        return Reply(id=ask.id, text=text, is_cut=reason == "length", usage=usage)

    def _failure(
        self, ask: WorkerRequest, verdict: FaultVerdict, usage: Usage | None = None
    ) -> Failure:
        return Failure(
            id=ask.id,
            fault=verdict.kind,
            detail=without_key(verdict.detail, key=self._settings.api_key),
            retry_ms=None if verdict.retry_s is None else int(verdict.retry_s * 1000),
            usage=usage,
            may_have_cost=verdict.may_have_cost,
        )

    def _key(self) -> str | None:
        if self._settings.api_key is None and self._settings.api_base is not None:
            return _NO_KEY
        return self._settings.api_key

    def _provider(self) -> str | None:
        try:
            return str(self._litellm.get_llm_provider(self._settings.model)[1])
        except self._litellm.exceptions.BadRequestError:
            return None

    def _entry(self) -> Mapping[str, Any]:
        """Return the model's entry in litellm's list, empty if it has none."""
        try:
            info = self._litellm.get_model_info(self._settings.model)
        except Exception:  # noqa: BLE001 (what it raises for an unknown model is an Exception)
            return {}
        entry: Mapping[str, Any] = self._litellm.model_cost.get(info["key"], {})
        return entry


def price_of(entry: Mapping[str, Any]) -> Price | None:
    """Return the price in an entry of litellm's list, or None if it has none.

    If long prompts cost more, the highest price is used for all prompts above the first threshold.
    """
    steps = [(0, entry), *_tiers(entry)]
    above: dict[str, int] = {}
    dearest = {"input": 0, "output": 0}
    for name, usd in entry.items():
        if (found := _DEARER.fullmatch(name)) and isinstance(usd, int | float):
            above[found[1]] = min(above.get(found[1], MAX_TOKENS), int(found[2]) * 1000)
            dearest[found[1]] = max(dearest[found[1]], nano_of(usd))
    priced = [(start, nano) for start, step in steps if (nano := _step(step)) is not None]
    if not priced:
        return None
    _, (nano_in, nano_out) = priced[0]
    starts = [start for start in (*above.values(), *(start for start, _ in priced)) if start]
    price = Price(
        usd_nano_in=nano_in,
        usd_nano_out=nano_out,
        dear_above=min(starts) if starts else None,
        dear_nano_in=max(dearest["input"], *(nano for _, (nano, _) in priced), 0),
        dear_nano_out=max(dearest["output"], *(nano for _, (_, nano) in priced), 0),
    )
    return price if max(price.dear_nano_in, price.dear_nano_out) <= MAX_USD_NANO else None


def usage_of(usage: Any) -> Usage | None:
    """Return the usage that a server reports, or None if it is missing or impossible."""
    tokens_in = getattr(usage, "prompt_tokens", None)
    tokens_out = getattr(usage, "completion_tokens", None)
    total = getattr(usage, "total_tokens", None)
    if type(tokens_in) is not int or type(tokens_out) is not int:
        return None
    if type(total) is int:  # some servers charge for reasoning but leave it out of the answer
        tokens_out = max(tokens_out, total - tokens_in)
    # litellm returns zero if a server reports nothing; no prompt has zero tokens.
    if not 0 < tokens_in <= MAX_TOKENS or not 0 <= tokens_out <= MAX_TOKENS:
        return None
    return Usage(tokens_in=tokens_in, tokens_out=tokens_out)


def _tiers(entry: Mapping[str, Any]) -> list[tuple[int, Mapping[str, Any]]]:
    tiers = entry.get("tiered_pricing") or []
    return sorted(
        ((int(tier["range"][0]), tier) for tier in tiers if tier.get("range")),
        key=lambda one: one[0],
    )


def _step(step: Mapping[str, Any]) -> tuple[int, int] | None:
    usd_in, usd_out = step.get("input_cost_per_token"), step.get("output_cost_per_token")
    if not isinstance(usd_in, int | float) or not isinstance(usd_out, int | float):
        return None
    thoughts = step.get("output_cost_per_reasoning_token")
    usd_out = max(usd_out, thoughts) if isinstance(thoughts, int | float) else usd_out
    return nano_of(usd_in), nano_of(usd_out)


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 < value <= MAX_TOKENS else None


def _import_quietly() -> ModuleType:
    os.environ.update(_QUIET)
    gc.disable()  # nothing imported becomes garbage; looking for it takes a third of the time
    import litellm
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler

    from agent.worker.transport import noting_client

    gc.freeze()
    gc.enable()
    litellm.suppress_debug_info = True
    litellm.telemetry = False
    litellm.turn_off_message_logging = True
    # The two ways in which litellm sends requests; the second has no setting.
    litellm.aclient_session = noting_client()
    AsyncHTTPHandler.create_client = noting_client
    return litellm  # type: ignore[no-any-return]
