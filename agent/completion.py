"""One question to a language model and what comes back: the only thing a prompt is sent through.

Who answers is the node's business: a worker process, within the limits that the user set. A fault
is a value, because a model that is away, slow or talks nonsense is an ordinary day.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeAlias

from protocol.codecs import utf8
from protocol.fields import Mapped

PROMPT_BYTES: Final = 2 << 20  # of one message

Role: TypeAlias = Literal["system", "user", "assistant"]
FaultKind: TypeAlias = Literal[
    "unauthorized",  # no key, or one that is refused
    "unknown_model",
    "rate_limited",
    "overflow",  # the prompt is longer than the model takes
    "unreachable",
    "server",  # it answered with a fault of its own
    "timeout",
    "garbage",  # what came is no answer
    "empty",
    "over_budget",  # refused here: a limit of the day would be passed
    "worker",  # the process that asks is not there
    "leaked_key",  # the server sent the API key back, in whatever writing
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatMessage(Mapped):
    """One turn of a conversation."""

    role: Role
    content: Annotated[str, utf8(PROMPT_BYTES)]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionRequest:
    """A conversation to go on with, in at most `max_tokens` tokens and `timeout_s` seconds."""

    messages: tuple[ChatMessage, ...]
    max_tokens: int
    timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCost:
    """What asking a model took: questions, tokens, and 1e-9 USD."""

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
    """What a model said. `is_cut`: it ran into `max_tokens`. `cost` is of all that it took."""

    text: str
    is_cut: bool
    cost: ModelCost


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionFault:
    """Why there is no answer. `retry_s` is what the other end asked for, None if it did not.

    `cost` is what counts against the limits though nothing came: of a question that ended without
    a word on its cost, the most that it can have been.
    """

    kind: FaultKind
    detail: str
    retry_s: float | None = None
    cost: ModelCost = ModelCost(calls=1)


Complete: TypeAlias = Callable[[CompletionRequest], Awaitable[ModelCompletion | CompletionFault]]
