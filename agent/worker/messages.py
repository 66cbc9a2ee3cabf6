"""What the core and the worker that asks a model say to each other: typed frames, both ways.

    core    settings {model, api_base|nil, api_key|nil}, once and first
            ask {id, messages [{role, content}] ≤ 64, max_tokens, timeout_ms}; cancel {id}
    worker  facts {provider|nil, price|nil, context|nil, answer|nil}, once and first, or
            down {reason, detail}
            reply {id, text, is_cut, usage|nil}
            failure {id, kind, detail, retry_ms|nil, usage|nil, may_have_cost}

A frame is [kind, map] in canonical msgpack. Prompts and answers are UTF-8 bytes, as they need not
be NFC; nothing else is free text. Either side believes the other no further than these limits.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final, Literal, TypeAlias, get_args

from agent.completion import FaultKind, Message, Role
from agent.worker.prices import MAX_TOKENS, Price, Usage
from protocol.encoding import MAX_INT, Value, decode, encode
from protocol.errors import Rejected
from protocol.fields import (
    Codec,
    Mapped,
    Table,
    boolean,
    choice,
    integer,
    line,
    listing,
    nullable,
    word,
)
from protocol.fields import field as entry
from protocol.framing import Framing

PROMPT_BYTES: Final = 2 << 20  # of one message
TEXT_BYTES: Final = 1 << 20  # of an answer
FRAME_BYTES: Final = 4 << 20
MAX_MESSAGES: Final = 64
MAX_DETAIL: Final = 300
MAX_TIMEOUT_MS: Final = 24 * 3600 * 1000
MAX_KEY: Final = 4_096
_MAX_NAME = 160
_MAX_URL = 2_048
DownReason: TypeAlias = Literal["not_installed", "fault"]


def utf8(high: int) -> Codec[str]:
    """Text as UTF-8, at most `high` bytes; what is no Unicode is written as `?`."""

    def read(value: Value) -> str | Rejected:
        if type(value) is not bytes:
            return Rejected("not bytes")
        if len(value) > high:
            return Rejected(f"{len(value)} bytes where {high} are allowed")
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return Rejected("not UTF-8")

    return Codec(read, lambda text: text.encode("utf-8", "replace"))


_MESSAGE_TABLE: Final = Table(
    entry("role", choice(*get_args(Role))), entry("content", utf8(PROMPT_BYTES))
)
_MESSAGE: Final = Codec(lambda value: _MESSAGE_TABLE.read(Message, value), _MESSAGE_TABLE.write)
_USAGE_TABLE: Final = Table(
    entry("tokens_in", integer(0, MAX_TOKENS)), entry("tokens_out", integer(0, MAX_TOKENS))
)
_USAGE: Final = Codec(lambda value: _USAGE_TABLE.read(Usage, value), _USAGE_TABLE.write)
_ID: Final = integer(1, MAX_INT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Mapped):
    """Which model is asked, where and with what key."""

    kind: ClassVar = "settings"
    model: str
    api_base: str | None = None
    api_key: str | None = field(default=None, repr=False)

    TABLE: ClassVar = Table(
        entry("model", line(1, _MAX_NAME)),
        entry("api_base", nullable(line(1, _MAX_URL))),
        entry("api_key", nullable(word(rf"[\x21-\x7e]{{1,{MAX_KEY}}}"))),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask(Mapped):
    """A question, numbered by the core."""

    kind: ClassVar = "ask"
    id: int
    messages: tuple[Message, ...]
    max_tokens: int
    timeout_ms: int

    TABLE: ClassVar = Table(
        entry("id", _ID),
        entry("messages", listing(_MESSAGE, low=1, high=MAX_MESSAGES)),
        entry("max_tokens", integer(1, MAX_TOKENS)),
        entry("timeout_ms", integer(1, MAX_TIMEOUT_MS)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel(Mapped):
    """Nobody waits for the answer any more."""

    kind: ClassVar = "cancel"
    id: int

    TABLE: ClassVar = Table(entry("id", _ID))


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts(Mapped):
    """What is known of the model; None is not known."""

    kind: ClassVar = "facts"
    provider: str | None
    price: Price | None
    context_tokens: int | None
    answer_tokens: int | None

    TABLE: ClassVar = Table(
        entry("provider", nullable(line(1, _MAX_NAME))),
        entry("price", nullable(Codec(Price.from_value, Price.to_value))),
        entry("context", nullable(integer(1, MAX_TOKENS)), "context_tokens"),
        entry("answer", nullable(integer(1, MAX_TOKENS)), "answer_tokens"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Down(Mapped):
    """Why this process can ask nobody."""

    kind: ClassVar = "down"
    reason: DownReason
    detail: str

    TABLE: ClassVar = Table(
        entry("reason", choice(*get_args(DownReason))), entry("detail", line(0, MAX_DETAIL))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply(Mapped):
    """What the model said. `usage` is None where nobody told."""

    kind: ClassVar = "reply"
    id: int
    text: str
    is_cut: bool
    usage: Usage | None

    TABLE: ClassVar = Table(
        entry("id", _ID),
        entry("text", utf8(TEXT_BYTES)),
        entry("is_cut", boolean()),
        entry("usage", nullable(_USAGE)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure(Mapped):
    """Why there is no answer. Without `may_have_cost` the model cannot have worked."""

    kind: ClassVar = "failure"
    id: int
    fault: FaultKind
    detail: str
    retry_ms: int | None
    usage: Usage | None
    may_have_cost: bool

    TABLE: ClassVar = Table(
        entry("id", _ID),
        entry("fault", choice(*get_args(FaultKind))),
        entry("detail", line(0, MAX_DETAIL)),
        entry("retry_ms", nullable(integer(0, MAX_TIMEOUT_MS))),
        entry("usage", nullable(_USAGE)),
        entry("may_have_cost", boolean()),
    )


FromCore: TypeAlias = Settings | Ask | Cancel
FromWorker: TypeAlias = Facts | Down | Reply | Failure
_KINDS: Final[Mapping[str, type[FromCore | FromWorker]]] = {
    one.kind: one for one in (Settings, Ask, Cancel, Facts, Down, Reply, Failure)
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
