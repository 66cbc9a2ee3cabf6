"""The messages between the core and the worker that asks a model: typed frames, both ways.

    core    settings {model, api_base|nil, api_key|nil}, once and first
            ask {id, messages [{role, content}] ≤ 64, max_tokens, timeout_ms}; cancel {id}
    worker  facts {provider|nil, price|nil, context|nil, answer|nil}, once and first, or
            down {reason, detail}
            reply {id, text, is_cut, usage|nil}
            failure {id, kind, detail, retry_ms|nil, usage|nil, may_have_cost}

A frame is [kind, map] in canonical msgpack. Prompts and answers are UTF-8 bytes, because they need
not be NFC; nothing else is free text. Both sides enforce these limits on what they receive.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Final, Literal, TypeAlias

from agent.completion import ChatMessage, FaultKind
from agent.worker.prices import MAX_TOKENS, Price, Usage
from protocol.codecs import identifier, integer, single_line, utf8
from protocol.encoding import decode, encode
from protocol.errors import Rejected
from protocol.fields import Items, Mapped, Named, Positive
from protocol.framing import Framing

TEXT_BYTES: Final = 1 << 20  # of an answer
FRAME_BYTES: Final = 4 << 20
MAX_MESSAGES: Final = 64
MAX_DETAIL: Final = 300
MAX_TIMEOUT_MS: Final = 24 * 3600 * 1000
MAX_KEY: Final = 4_096
_MAX_NAME = 160
_MAX_URL = 2_048
_KEY = rf"[\x21-\x7e]{{1,{MAX_KEY}}}"
DownReason: TypeAlias = Literal["not_installed", "fault"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings(Mapped):
    """The model to ask, its address and its key."""

    kind: ClassVar = "settings"
    model: Annotated[str, single_line(1, _MAX_NAME)]
    api_base: Annotated[str | None, single_line(1, _MAX_URL)] = None
    api_key: Annotated[str | None, identifier(_KEY)] = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRequest(Mapped):
    """A question, numbered by the core."""

    kind: ClassVar = "ask"
    id: Positive
    messages: Annotated[tuple[ChatMessage, ...], Items(1, MAX_MESSAGES)]
    max_tokens: Annotated[int, integer(1, MAX_TOKENS)]
    timeout_ms: Annotated[int, integer(1, MAX_TIMEOUT_MS)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel(Mapped):
    """A request to drop a question, because its answer is no longer needed."""

    kind: ClassVar = "cancel"
    id: Positive


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts(Mapped):
    """The known facts about the model; None means unknown."""

    kind: ClassVar = "facts"
    provider: Annotated[str | None, single_line(1, _MAX_NAME)]
    price: Price | None
    context_tokens: Annotated[int | None, integer(1, MAX_TOKENS), Named("context")]
    answer_tokens: Annotated[int | None, integer(1, MAX_TOKENS), Named("answer")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Down(Mapped):
    """The reason this worker process cannot ask any model."""

    kind: ClassVar = "down"
    reason: DownReason
    detail: Annotated[str, single_line(0, MAX_DETAIL)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply(Mapped):
    """The model's answer. `usage` is None if the server did not report it."""

    kind: ClassVar = "reply"
    id: Positive
    text: Annotated[str, utf8(TEXT_BYTES)]
    is_cut: bool
    usage: Usage | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure(Mapped):
    """The reason there is no answer. `may_have_cost`: the question may have cost money."""

    kind: ClassVar = "failure"
    id: Positive
    fault: FaultKind
    detail: Annotated[str, single_line(0, MAX_DETAIL)]
    retry_ms: Annotated[int | None, integer(0, MAX_TIMEOUT_MS)]
    usage: Usage | None
    may_have_cost: bool


FromCore: TypeAlias = ModelSettings | WorkerRequest | Cancel
FromWorker: TypeAlias = ModelFacts | Down | Reply | Failure
_KINDS: Final[Mapping[str, type[FromCore | FromWorker]]] = {
    one.kind: one
    for one in (ModelSettings, WorkerRequest, Cancel, ModelFacts, Down, Reply, Failure)
}


def _encode(message: FromCore | FromWorker) -> bytes:
    return encode([message.kind, message.to_value()])


def _decode(data: bytes) -> FromCore | FromWorker | Rejected:
    value = decode(data, limit_bytes=FRAME_BYTES)
    match value:
        case Rejected():
            return value
        case [str() as kind, body] if kind in _KINDS:
            return _KINDS[kind].from_value(body)
    return Rejected("not a kind of frame and its map")


FRAMING: Final[Framing[FromCore | FromWorker]] = Framing(
    limit_bytes=FRAME_BYTES, encode=_encode, decode=_decode
)
