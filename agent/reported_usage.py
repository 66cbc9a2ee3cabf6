"""Readers for the usage that coding agents print, each in the format of its program.

`claude` (https://code.claude.com/docs/en/headless) and `codex`
(https://developers.openai.com/codex/noninteractive) print one JSON object per line; the last one of
`claude` has the sums. `aider` prints a line after each answer. A figure is ignored if no session
can use so much in the time that this one took. In the first two formats a model's text is inside
JSON strings, so it cannot pass for a figure. In aider's format a model can imitate the lines, so
the most expensive line counts.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from agent.worker.prices import MAX_TOKENS, Price, Usage, nano_of

Form: TypeAlias = Literal["claude", "codex", "aider"]

# A session sends one request after the other. Limits per second: tokens read (most of them from a
# cache) and tokens written. In addition: one full context and one longest answer.
_IN_PER_S: Final = 100_000
_OUT_PER_S: Final = 1_000
_CONTEXT: Final = 1_000_000
_ANSWER: Final = 128_000
_DEAREST: Final = Price(usd_nano_in=15_000, usd_nano_out=75_000)
_MOST_USD: Final = 1e6
# Messages of faults that occur before any model can have answered.
_UNASKED: Final = re.compile(
    r"unexpected status (?!408)\d{3}|high demand|error sending request|connection refused"
    r"|dns error|usage limit|Invalid API key|Not logged in",
    re.IGNORECASE,
)
_AIDER_TOKENS: Final = re.compile(
    r"Tokens: ([\d.,]+)([kM]?) sent(?:, [\d.,]+[kM]? cache (?:write|hit))*,"
    r" ([\d.,]+)([kM]?) received\."
    r"(?: Cost: \$([\d.,]+) message, \$([\d.,]+) session\.)?"
)
_AIDER_FAULT: Final = re.compile(
    r"litellm\.(?:AuthenticationError|NotFoundError|BadRequestError|PermissionDeniedError"
    r"|RateLimitError|APIConnectionError|InternalServerError|ServiceUnavailableError).*"
)
_SCALE: Final = {"": 1, "k": 1_000, "M": 1_000_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedUsage:
    """Tokens, and 1e-9 USD as the program computed them; None if it computes no price."""

    tokens_in: int = 0
    tokens_out: int = 0
    usd_nano: int | None = None

    def can_be(self, seconds: float) -> bool:
        """Return whether a session of this length can have used so much."""
        most = Usage(
            tokens_in=_CONTEXT + int(_IN_PER_S * seconds),
            tokens_out=_ANSWER + int(_OUT_PER_S * seconds),
        )
        return (
            self.tokens_in <= most.tokens_in
            and self.tokens_out <= most.tokens_out
            and (self.usd_nano or 0) <= _DEAREST.cost_nano(most)
        )


NO_USAGE: Final = ReportedUsage(usd_nano=0)


def reported_usage(printed: str, form: Form) -> ReportedUsage | None:
    """Return the usage that a program reports, or None if it reports none."""
    match form:
        case "claude":
            return _claude(printed)
        case "codex":
            return _codex(printed)
        case "aider":
            return _aider(printed)


def last_words(printed: str, form: Form) -> str:
    """Return the program's last message for people, or "" if it has none."""
    match form:
        case "claude":
            said = next(_results(printed), {})
            errors = said.get("errors")
            word = errors[0] if isinstance(errors, list) and errors else said.get("result")
            if isinstance(word, str) and word.strip():
                return word
        case "codex":
            words = [word for event in printed_objects(printed) if (word := _message(event))]
            if words:
                return words[-1]
        case "aider":
            if faults := _AIDER_FAULT.findall(printed):
                return str(faults[-1])
            return ""
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    return lines[-1] if lines and not lines[-1].startswith("{") else ""


def _claude(printed: str) -> ReportedUsage | None:
    result = next(_results(printed), None)
    if result is None:
        return None
    usd = _usd(result.get("total_cost_usd"))
    usage = result.get("usage")
    sums = [_claude_usage(usage)] if isinstance(usage, dict) else []
    models = result.get("modelUsage")
    if isinstance(models, dict):
        # After a fault, `usage` is empty and `modelUsage` is not.
        each = [_claude_model(one) for one in models.values() if isinstance(one, dict)]
        sums.append((sum(one for one, _ in each), sum(one for _, one in each)))
    tokens_in = max((one for one, _ in sums), default=0)
    tokens_out = max((one for _, one in sums), default=0)
    if usd is None and not tokens_in:
        return None
    return ReportedUsage(tokens_in=tokens_in, tokens_out=tokens_out, usd_nano=usd)


def _results(printed: str) -> Iterator[dict[str, Any]]:
    """Yield the results that were printed, the last one first."""
    for event in reversed(list(printed_objects(printed))):
        if event.get("type") == "result" or "total_cost_usd" in event:
            yield event


def _claude_usage(usage: dict[str, Any]) -> tuple[int, int]:
    into = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    return sum(_count(usage.get(name)) for name in into), _count(usage.get("output_tokens"))


def _claude_model(usage: dict[str, Any]) -> tuple[int, int]:
    into = ("inputTokens", "cacheCreationInputTokens", "cacheReadInputTokens")
    return sum(_count(usage.get(name)) for name in into), _count(usage.get("outputTokens"))


def _codex(printed: str) -> ReportedUsage | None:
    tokens_in, tokens_out, has_usage, has_worked, fault = 0, 0, False, False, ""
    for event in printed_objects(printed):
        match event:
            case {"type": "turn.completed", "usage": dict() as usage}:
                has_usage = True
                tokens_in += _count(usage.get("input_tokens"))
                tokens_out += _count(usage.get("output_tokens"))
            case {"item": {"type": str() as kind}} if kind != "error":
                has_worked = True
            case {"type": "turn.failed", "error": {"message": str() as fault}}:
                pass
    if fault:
        return NO_USAGE if not has_worked and _UNASKED.search(fault) else None
    return ReportedUsage(tokens_in=tokens_in, tokens_out=tokens_out) if has_usage else None


def _message(event: dict[str, Any]) -> str | None:
    match event:
        case {"type": "turn.failed", "error": {"message": str() as word}}:
            return word
        case {"type": "error", "message": str() as word}:
            return word
        case {"item": {"type": "error", "message": str() as word}}:
            return word
        case {"item": {"type": "agent_message", "text": str() as word}}:
            return word
    return None


def _aider(printed: str) -> ReportedUsage | None:
    tokens_in, tokens_out, usd_nano, lines = 0, 0, 0, 0
    is_priced = True
    for found in _AIDER_TOKENS.finditer(printed):
        into, scale_in, out, scale_out, message, session = found.groups()
        usd = None if session is None else _usd(_number(session))
        lines += 1
        tokens_in += _rounded(into, scale_in)
        tokens_out += _rounded(out, scale_out)
        is_priced = is_priced and usd is not None
        # Rounding may have removed up to half of the last printed digit.
        usd_nano = max(usd_nano, (usd or 0) + _usd_step(message))
    if not lines:
        return NO_USAGE if _AIDER_FAULT.search(printed) else None
    return ReportedUsage(
        tokens_in=tokens_in, tokens_out=tokens_out, usd_nano=usd_nano if is_priced else None
    )


def _rounded(number: str, scale: str) -> int:
    """Return the largest value that a rounded figure can stand for: 1.2k may be 1,249."""
    value = _number(number) or 0.0
    half = 0 if not scale else _SCALE[scale] // (20 if "." in number else 2)
    return min(math.ceil(value * _SCALE[scale]) + half, MAX_TOKENS)


def _usd_step(written: str | None) -> int:
    places = len(written.partition(".")[2]) if written else 0
    return 10 ** max(0, 9 - places) // 2 if places else 0


def _number(written: str) -> float | None:
    try:
        return float(written.replace(",", "").rstrip("."))
    except ValueError:
        return None


def _usd(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return nano_of(float(value)) if 0 <= value <= _MOST_USD else None


def _count(value: object) -> int:
    return min(value, MAX_TOKENS) if type(value) is int and value > 0 else 0


def printed_objects(printed: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects in an output that are a line each."""
    for line in printed.splitlines():
        if line.startswith("{"):
            try:
                found = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(found, dict):
                yield found
