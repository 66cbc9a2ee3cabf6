"""A question to a language model and its answer. Every prompt is sent through these types.

A worker process of the node answers it, within the user's limits. A fault is a value and not an
exception, because models are often unavailable, slow or wrong.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeAlias

from protocol.codecs import utf8
from protocol.fields import Mapped

PROMPT_BYTES: Final = 2 << 20  # per message

Role: TypeAlias = Literal["system", "user", "assistant"]
FaultKind: TypeAlias = Literal[
    "unauthorized",  # the key is missing or refused
    "unknown_model",
    "rate_limited",
    "overflow",  # the prompt is longer than the model accepts
    "unreachable",
    "server",  # the server answered with a fault of its own
    "timeout",
    "garbage",  # the response is not an answer
    "empty",
    "over_budget",  # refused here: it would exceed a daily limit
    "worker",  # the worker process is not running
    "leaked_key",  # the server sent the API key back, in any encoding
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatMessage(Mapped):
    """One turn of a conversation."""

    role: Role
    content: Annotated[str, utf8(PROMPT_BYTES)]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionRequest:
    """A conversation to continue, in at most `max_tokens` tokens and `timeout_s` seconds."""

    messages: tuple[ChatMessage, ...]
    max_tokens: int
    timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCost:
    """The cost of questions to a model: their number, their tokens, and the price in 1e-9 USD."""

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    usd_nano: int = 0

    def __add__(self, other: "ModelCost") -> "ModelCost":
        return ModelCost(
            calls=self.calls + other.calls,
            tokens_in=self.tokens_in + other.tokens_in,
            tokens_out=self.tokens_out + other.tokens_out,
            usd_nano=self.usd_nano + other.usd_nano,
        )


NO_COST: Final = ModelCost()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCompletion:
    """A model's answer and its cost. `is_cut`: the answer was cut off at `max_tokens`."""

    text: str
    is_cut: bool
    cost: ModelCost


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionFault:
    """The reason there is no answer. `retry_s` is the delay that the server asked for, if any.

    `cost` counts against the limits although there is no answer. If the server reported no cost,
    the highest possible cost is assumed.
    """

    kind: FaultKind
    detail: str
    retry_s: float | None = None
    cost: ModelCost = ModelCost(calls=1)


Complete: TypeAlias = Callable[[CompletionRequest], Awaitable[ModelCompletion | CompletionFault]]
