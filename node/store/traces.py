"""The traces of visits: what models and coding agents were asked, answered and changed.

The latest visits stay, the oldest are dropped. They are private: nothing else reads these tables
than the owner's commands and page, so no record, bundle or export can contain a trace.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Final

from agent.completion import ModelCost
from agent.visit.trace import MOST_STEPS, Refusal, TraceStep
from node.home.faults import DAMAGED_HINT, DamagedStoreError
from node.store.database import Database
from protocol.encoding import decode, encode
from protocol.errors import Rejected
from protocol.fields import Items, Mapped, Natural

MOST_TRACES: Final = 300
TRACE_BYTES: Final = 64 * 1024  # of all steps of a visit; a home keeps at most 19 MB of traces
_LIMIT_BYTES: Final = 4 * TRACE_BYTES  # when it is read


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceBody(Mapped):
    """The steps of a visit, and how many were dropped because there were too many."""

    steps: Annotated[tuple[TraceStep, ...], Items(0, MOST_STEPS)]
    dropped: Natural = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitSummary:
    """A visit without its steps.

    `title` is that of its proposal, "" without one. `refusal` and `reason` say why there is no
    proposal, or why it was not tried. `is_answered` is False if nobody answered. `results` are the
    experiments that came from it.
    """

    ts_ms: int
    task: bytes
    proposer: str
    title: str
    refusal: Refusal | None
    reason: str
    is_answered: bool
    ms: int
    cost: ModelCost
    number: int = 0
    results: tuple[bytes, ...] = ()


def keep_trace(database: Database, visit: VisitSummary, body: TraceBody) -> int:
    """Store a visit and drop the oldest ones; return its number.

    A visit that nobody answered replaces the same proposer's visit before it if that had the same
    fate. So a server that is down all night leaves one trace.
    """
    with database.transaction():
        if not visit.is_answered:
            database.rows(
                "DELETE FROM trace WHERE NOT is_answered AND refusal = ? AND id ="
                " (SELECT max(id) FROM trace WHERE proposer = ? AND task = ?)",
                (visit.refusal or "", visit.proposer, visit.task),
            )
        number = database.insert(
            "INSERT INTO trace (ts_ms, task, proposer, title, refusal, reason, is_answered, ms,"
            " calls, tokens_in, tokens_out, usd_nano, body) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                visit.ts_ms,
                visit.task,
                visit.proposer,
                visit.title,
                visit.refusal or "",
                visit.reason,
                visit.is_answered,
                visit.ms,
                visit.cost.calls,
                visit.cost.tokens_in,
                visit.cost.tokens_out,
                visit.cost.usd_nano,
                encode(body.to_value()),
            ),
        )
        database.rows(
            "DELETE FROM trace WHERE id <="
            " (SELECT id FROM trace ORDER BY id DESC LIMIT 1 OFFSET ?)",
            (MOST_TRACES,),
        )
    return number


def link_trace(database: Database, number: int, result: bytes) -> None:
    """Note that an experiment came from a visit, unless the visit was dropped."""
    with database.writing():
        database.rows(
            "INSERT OR IGNORE INTO trace_result SELECT ?, id FROM trace WHERE id = ?",
            (result, number),
        )


def refuse_trace(database: Database, number: int, refusal: Refusal, reason: str) -> None:
    """Note why the proposal of a visit is not tried."""
    with database.writing():
        database.rows(
            "UPDATE trace SET refusal = ?, reason = ? WHERE id = ?", (refusal, reason, number)
        )


def trace_of(database: Database, result: bytes) -> int | None:
    """Return the number of the visit that an experiment came from; None if it is not known."""
    rows = database.rows("SELECT trace FROM trace_result WHERE result = ?", (result,))
    return rows[0][0] if rows else None


def visits(
    database: Database, *, offset: int, limit: int, without_result: bool = False
) -> tuple[int, list[VisitSummary]]:
    """Return the number of visits, and a page of them, the latest first.

    With `without_result` only visits that led to no experiment.
    """
    where = "id NOT IN (SELECT trace FROM trace_result)" if without_result else "TRUE"
    ((total,),) = database.rows(f"SELECT count(*) FROM trace WHERE {where}")  # noqa: S608 (constants)
    rows = database.rows(
        f"SELECT {_SUMMARY} FROM trace WHERE {where} ORDER BY id DESC LIMIT ? OFFSET ?",  # noqa: S608 (constants)
        (limit, offset),
    )
    return total, [_summary(database, row) for row in rows]


def read_trace(database: Database, number: int) -> tuple[VisitSummary, TraceBody] | None:
    """Return a visit with its steps; None if there is none with this number.

    Raises DamagedStoreError if it is invalid.
    """
    rows = database.rows(f"SELECT {_SUMMARY}, body FROM trace WHERE id = ?", (number,))  # noqa: S608 (constants)
    if not rows:
        return None
    *summary, data = rows[0]
    value = decode(data, limit_bytes=_LIMIT_BYTES)
    body = value if isinstance(value, Rejected) else TraceBody.from_value(value)
    if isinstance(body, Rejected):
        raise DamagedStoreError(f"the stored trace {number} cannot be read", DAMAGED_HINT)
    return _summary(database, summary), body


_SUMMARY: Final = (
    "id, ts_ms, task, proposer, title, refusal, reason, is_answered, ms, calls, tokens_in,"
    " tokens_out, usd_nano"
)


def _summary(database: Database, row: Any) -> VisitSummary:
    number, ts_ms, task, proposer, title, refusal, reason, is_answered, ms, *cost = row
    results = database.rows("SELECT result FROM trace_result WHERE trace = ?", (number,))
    return VisitSummary(
        number=number,
        ts_ms=ts_ms,
        task=task,
        proposer=proposer,
        title=title,
        refusal=refusal or None,
        reason=reason,
        is_answered=bool(is_answered),
        ms=ms,
        cost=ModelCost(calls=cost[0], tokens_in=cost[1], tokens_out=cost[2], usd_nano=cost[3]),
        results=tuple(result for (result,) in results),
    )
