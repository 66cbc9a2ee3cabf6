"""A JSON document on a day's questions and costs, and corrections of a question's cost.

A question is one request to a language model, or one call (visit) of a coding agent.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from agent.worker.prices import nano_of
from node.home.config import Config
from node.home.control_socket import Message
from node.home.home import Home
from node.proposing.budget import limits_of, open_cost_database
from node.store import model_calls
from node.store.model_calls import Call, Charge
from node.store.store import Store
from protocol.errors import ArnodeError
from protocol.units import NANO

_GRACE_S = 120.0  # a question may exceed its time limit by at most this


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed:
    """The true cost of a question, as the user gives it. None leaves a figure unchanged."""

    usd: float | None
    tokens_in: int | None
    tokens_out: int | None
    why: str


def day_document(store: Store, config: Config, day: str) -> Mapping[str, Message]:
    """Return the costs of a day (UTC), in total and for each question, and the daily limits."""
    calls = model_calls.calls_on(store.database, day)
    spent = model_calls.costs_on_day(store.database, day)
    limits = limits_of(config)
    return {
        "day": day,
        "limits": {
            "usd": None if limits.usd_nano is None else limits.usd_nano / NANO,
            "calls": limits.calls,
            "visits": limits.visits,
            "tokens": limits.tokens,
        },
        "spent": {
            "usd": spent.usd_nano / NANO,
            "calls": spent.calls,
            "visits": spent.visits,
            "tokens": spent.tokens,
        },
        "calls": [dict(_document(call)) for call in calls],
    }


def correct_call(
    home: Home, config: Config, number: int, fixed: Fixed, *, now_ms: int
) -> Mapping[str, Message]:
    """Correct the cost of a question, and return the corrected question as a document.

    Raises ArnodeError if the number is unknown, or if the question may still be in progress: its
    cost is not final yet.
    """
    if not home.store.exists():
        raise _unknown(number)
    with open_cost_database(home) as database:
        call = model_calls.call(database, number)
        if call is None:
            raise _unknown(number)
        left_s = (call.ts_ms - now_ms) / 1000 + _GRACE_S
        left_s += max(config.agent_limit_s, config.llm_timeout_s)
        if call.state == "reserved" and left_s > 0:
            raise ArnodeError(
                f"question {number} may still be in progress",
                f"wait {math.ceil(left_s / 60)} min until its time limit is over, then run"
                f" `arnode agent spending --correct {number}` with its cost again",
            )
        charge = Charge(
            tokens_in=call.charge.tokens_in if fixed.tokens_in is None else fixed.tokens_in,
            tokens_out=call.charge.tokens_out if fixed.tokens_out is None else fixed.tokens_out,
            usd_nano=call.charge.usd_nano if fixed.usd is None else nano_of(fixed.usd),
        )
        model_calls.correct(database, number, charge, why=fixed.why, now_ms=now_ms)
        corrected = model_calls.call(database, number)
    assert corrected is not None  # noqa: S101 (nothing takes a question away)
    return _document(corrected)


def _document(call: Call) -> Mapping[str, Message]:
    is_corrected = call.corrected_ms is not None
    return {
        "id": call.number,
        "ts": _time(call.ts_ms),
        "model": call.model,
        "visit": call.is_visit,
        "state": call.state,
        **_figures(call.charge),
        "charged": dict(_figures(call.charged)) if is_corrected else None,
        "corrected": None if call.corrected_ms is None else _time(call.corrected_ms),
        "why": call.why,
    }


def _figures(charge: Charge) -> Mapping[str, Message]:
    return {
        "tokens_in": charge.tokens_in,
        "tokens_out": charge.tokens_out,
        "usd": charge.usd_nano / NANO,
    }


def today(now_ms: int) -> str:
    """Return the current day for limits, such as 2026-03-01."""
    return datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y-%m-%d")


def _time(ts_ms: int) -> str:
    return datetime.fromtimestamp(ts_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _unknown(number: int) -> ArnodeError:
    return ArnodeError(
        f"there is no question {number}",
        "`arnode agent spending` lists today's questions by number",
    )
