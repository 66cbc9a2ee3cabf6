"""One question as it went over the wire, and the kind of fault that follows from it. Pure.

litellm wraps a refused connection, a web page and a missing key in the same exception. So the kind
of fault is derived from the requests: whether a connection was made, which status came back, and
what the body says. The text of a fault is made printable, short, and free of the key.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal, TypeAlias

from agent.completion import FaultKind
from agent.worker.messages import MAX_DETAIL
from protocol.codecs import fit_line

BODY_BYTES: Final = 8 << 20  # per answer: escaped text, reasoning, extra fields of providers
MAX_PARTS: Final = 20_000  # lists and maps in it; litellm turns some into objects of kilobytes
Trouble: TypeAlias = Literal[
    "no_connection",
    "broken",  # the connection ended before the answer was complete
    "too_much",  # larger than an answer can be
    "encoded",  # compressed in a way that was not requested and cannot be read
]

_MAX_RETRY_S: Final = 24 * 3600.0
_KEY_PIECE: Final = 8  # this many consecutive characters of a key are never shown
# Gateways return these when the model took too long: it may have worked to the end.
_TIMEOUTS: Final = (408, 504, 524)
_OVERFLOW: Final = re.compile(
    r"context.{0,12}(length|window|size|limit)|too many (input )?tokens|prompt is too long"
    r"|exceeds? the (maximum|max|limit|model)|maximum number of tokens|input is too long"
    r"|longer than the model|input length|max_total_tokens|request too large",
    re.IGNORECASE,
)
_NO_MODEL: Final = re.compile(
    r"model[^.]{0,80}(not found|not exist|unknown|invalid|unsupported|not available|not loaded)"
    r"|(no such|unknown|invalid|not a valid|unsupported) model|model_not_found"
    r"|no endpoints found|provider not provided",
    re.IGNORECASE,
)
_NO_KEY: Final = re.compile(
    r"api.?key|credential|unauthori[sz]ed|authentication|x-api-key|access token", re.IGNORECASE
)
_NO_CREDIT: Final = re.compile(
    r"insufficient_quota|exceeded your current quota|insufficient (credits?|balance|funds)"
    r"|credit balance is too low|billing",
    re.IGNORECASE,
)
_PAGE: Final = re.compile(rb"\s*<(!doctype html|html|head|body)", re.IGNORECASE)


@dataclass(slots=True, kw_only=True)
class ModelExchange:
    """The state of one question so far, filled in by the transport."""

    place: str = ""  # scheme and host
    is_sent: bool = False
    trouble: Trouble | None = None
    words: str = ""  # of the trouble
    status: int | None = None
    headers: Mapping[str, str] | None = None
    body: bytes = b""
    document: Any = None  # the body parsed as JSON, None if it is not JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultVerdict:
    """A fault: its kind, its text, when to retry, and whether the question may have cost money."""

    kind: FaultKind
    detail: str
    may_have_cost: bool = True
    retry_s: float | None = None


def judge(exchange: ModelExchange, *, said: str, now_s: float) -> FaultVerdict:
    """Return what went wrong with a question. `said` is litellm's message.

    `now_s` is the time of day, for a Retry-After that is a date.
    """
    if exchange.trouble is not None:
        return _troubled(exchange)
    if not exchange.is_sent:
        return _unsent(said)
    if exchange.status is None:
        return FaultVerdict(kind="server", detail=f"{exchange.place}: {said}")
    status = exchange.status if exchange.status >= 300 else _stated_status(exchange.document)
    return _unreadable(exchange, said) if status is None else _refused(exchange, status, now_s)


def given_up(exchange: ModelExchange, *, limit_s: float) -> FaultVerdict:
    """Return the fault of a question that was not answered in time."""
    detail = f"{exchange.place or 'the model'} did not answer within {limit_s:g} s"
    return FaultVerdict(kind="timeout", detail=detail)


def document_of(body: bytes) -> Any:
    """Return a body parsed as JSON, or None if it is not JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def is_bounded(document: Any) -> bool:
    """Return whether a document has at most `MAX_PARTS` lists and maps."""
    waiting, count = [document], 0
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict | list):
            count += 1
            waiting.extend(part.values() if isinstance(part, dict) else part)
        if count > MAX_PARTS:
            return False
    return True


def with_texts(document: Any) -> Any:
    """Return an answer with plain text instead of content parts; any other document unchanged.

    OpenAI defines parts for prompts, and some servers use them in answers. Reasoning is left out.
    """
    match document:
        case {"choices": [*choices]} if any(map(_has_parts, choices)):
            return document | {"choices": [_with_text(choice) for choice in choices]}
    return document


def _has_parts(choice: Any) -> bool:
    match choice:
        case {"message": {"content": [*_]}}:
            return True
    return False


def _with_text(choice: Any) -> Any:
    if not _has_parts(choice):
        return choice
    parts = choice["message"]["content"]
    texts = [part if isinstance(part, str) else _text_of(part) for part in parts]
    return choice | {"message": choice["message"] | {"content": "".join(texts)}}


def _text_of(part: Any) -> str:
    match part:
        case {"type": "text" | "output_text", "text": str() as text}:
            return text
        case {"text": str() as text} if "type" not in part:
            return text
    return ""


def states_fault(exchange: ModelExchange) -> bool:
    """Return whether the body reports a fault despite a successful status, as some gateways do."""
    return _stated_status(exchange.document) is not None


def without_key(text: str, *, key: str | None, limit: int = MAX_DETAIL) -> str:
    """Return untrusted text on one line, printable, cut, and without any piece of the key."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    line = fit_line(shown, len(shown))
    for piece in _pieces(key or ""):
        line = line.replace(piece, "*" * len(piece))
    return line[:limit]


def _pieces(key: str) -> list[str]:
    if len(key) <= _KEY_PIECE:
        return [key] if key else []
    return [key, *(key[at : at + _KEY_PIECE] for at in range(len(key) - _KEY_PIECE + 1))]


def _troubled(exchange: ModelExchange) -> FaultVerdict:
    where = exchange.place
    match exchange.trouble:
        case "no_connection":
            detail = f"{where} cannot be reached: {exchange.words}"
            return FaultVerdict(kind="unreachable", detail=detail, may_have_cost=False)
        case "too_much":
            # No model can have produced so much text.
            detail = f"{where} sent an answer over the size limit"
            return FaultVerdict(kind="garbage", detail=detail, may_have_cost=False)
        case "encoded":
            detail = f"{where} answered in an unsupported encoding"
            return FaultVerdict(kind="garbage", detail=detail)
    detail = f"the connection to {where} broke: {exchange.words}"
    return FaultVerdict(kind="server", detail=detail)


def _unsent(said: str) -> FaultVerdict:
    kind: FaultKind = "garbage"
    if _NO_MODEL.search(said):
        kind = "unknown_model"
    elif _NO_KEY.search(said):
        kind = "unauthorized"
    # litellm runs external programs for some providers; their requests are not visible here.
    return FaultVerdict(kind=kind, detail=said, may_have_cost=kind == "garbage")


def _unreadable(exchange: ModelExchange, said: str) -> FaultVerdict:
    if _PAGE.match(exchange.body) or "text/html" in (exchange.headers or {}).get(
        "content-type", ""
    ):
        # A captive portal or a wrong address: the request reached no model.
        said = f"{exchange.place} answered with a web page, not like a model's API"
        return FaultVerdict(kind="garbage", detail=said, may_have_cost=False)
    if exchange.document is None:
        said = f"{exchange.place} answered with text that is not JSON"
        may_be_cut = exchange.body.lstrip().startswith((b"{", b"["))
        return FaultVerdict(kind="garbage", detail=said, may_have_cost=may_be_cut)
    # litellm's message ends in its own traceback.
    words = said.partition("Traceback (most recent")[0].strip() or "it cannot be read"
    said = f"{exchange.place} answered with unexpected JSON: {words}"
    return FaultVerdict(kind="garbage", detail=said)


def _refused(exchange: ModelExchange, status: int, now_s: float) -> FaultVerdict:
    words = _words(exchange.document, exchange.body)
    kind = _kind_of(status, words, is_page=bool(_PAGE.match(exchange.body)))
    detail = f"{exchange.place} answered {status}" + (f": {words}" if words else "")
    if kind == "garbage" and status < 400:
        detail = f"{detail} and points to {(exchange.headers or {}).get('location', 'nowhere')}"
    return FaultVerdict(
        kind=kind,
        detail=detail,
        # In all other cases the model cannot have worked. In these the answer got lost or cut.
        may_have_cost=status in _TIMEOUTS or exchange.status != status,
        retry_s=_retry_s(exchange.headers or {}, now_s),
    )


def _kind_of(status: int, words: str, *, is_page: bool) -> FaultKind:
    if status in (401, 402, 403) or (status in (400, 429) and _NO_CREDIT.search(words)):
        return "unauthorized"
    if status == 429:
        return "rate_limited"
    if status in _TIMEOUTS:
        return "timeout"
    if status == 413 or (not is_page and _OVERFLOW.search(words)):
        return "overflow"
    if status >= 500:
        return "server"
    if _NO_MODEL.search(words) or (status == 404 and "model" in words.lower()):
        return "garbage" if is_page else "unknown_model"
    if status == 400 and _NO_KEY.search(words):
        return "unauthorized"
    return "garbage"


def _stated_status(document: Any) -> int | None:
    match document:
        case {"choices": [_, *_]}:
            return None
        case {"error": {"code": int() as code}} if 400 <= code < 600:
            return code
        case {"error": dict() | str()}:
            return 500
    return None


def _words(document: Any, body: bytes) -> str:
    match document:
        case [{"error": _} as first, *_]:
            return _words(first, b"")
        case {"error": {"message": str() as words} as error}:
            code = error.get("code") or error.get("type")
            return f"{words} ({code})" if isinstance(code, str) and code not in words else words
        case {"error": str() as words} | {"message": str() as words} | {"detail": str() as words}:
            return words
    if _PAGE.match(body):
        return "a web page"
    return body[:MAX_DETAIL].decode("utf-8", "replace")


def _retry_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """Return the seconds after which the server wants to be asked again (RFC 9110, 10.2.3)."""
    stated = headers.get("retry-after", "").strip()
    try:
        seconds = float(stated)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(stated).timestamp() - now_s
        except (ValueError, TypeError, OverflowError):
            return None
    return None if math.isnan(seconds) else min(max(seconds, 0.0), _MAX_RETRY_S)
