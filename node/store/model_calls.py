"""What asking models took: a row for each question, reserved before it is asked, settled after.

Reserving looks at the day's sum and adds to it in one transaction that is on the disk before the
question leaves, so that no number of tasks, processes or kills passes a limit. What was reserved
and never settled counts in full for ever, unless somebody corrects it: a correction is a row of its
own, which counts in place of what it is about, and takes nothing away. Days are UTC's, of the
moment of reserving.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from node.store.database import Database

LimitName = Literal["usd_per_day", "tokens_per_day", "calls_per_day", "visits_per_day"]
State = Literal["reserved", "settled", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """Questions, how many of them were visits of coding agents, tokens of both, and 1e-9 USD."""

    calls: int = 0
    visits: int = 0
    tokens: int = 0
    usd_nano: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendingLimits:
    """The most of each in a day; None: as much as one likes."""

    calls: int | None = None
    tokens: int | None = None
    usd_nano: int | None = None
    visits: int | None = None

    def after(self, spent: Spending) -> "SpendingLimits":
        """Return what is left of them, none below 0."""

        def left(most: int | None, taken: int) -> int | None:
            return None if most is None else max(0, most - taken)

        return SpendingLimits(
            calls=left(self.calls, spent.calls),
            tokens=left(self.tokens, spent.tokens),
            usd_nano=left(self.usd_nano, spent.usd_nano),
            visits=left(self.visits, spent.visits),
        )

    def passed_by(self, spending: Spending) -> LimitName | None:
        """Return which limit so much would pass, None if none."""
        most: tuple[tuple[LimitName, int, int | None], ...] = (
            ("usd_per_day", spending.usd_nano, self.usd_nano),
            ("tokens_per_day", spending.tokens, self.tokens),
            ("calls_per_day", spending.calls, self.calls),
            ("visits_per_day", spending.visits, self.visits),
        )
        return next(
            (name for name, sum_, limit in most if limit is not None and sum_ > limit), None
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What one question takes."""

    tokens_in: int
    tokens_out: int
    usd_nano: int

    @property
    def tokens(self) -> int:
        """Of both."""
        return self.tokens_in + self.tokens_out


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One question as it is kept. `charge` is what counts, `booked` what did before somebody
    corrected it; `corrected_ms` and `why` are the last correction's, None and empty without one."""

    number: int
    ts_ms: int
    model: str
    state: State
    is_visit: bool
    booked: Charge
    charge: Charge
    corrected_ms: int | None
    why: str


def day_of(ts_ms: int) -> str:
    """Return the day (UTC) that a moment belongs to."""
    return datetime.fromtimestamp(ts_ms / 1000, UTC).strftime("%Y-%m-%d")


def spending_on(database: Database, day: str) -> Spending:
    """Return what a day took so far: settled, reserved and unknown."""
    return _spending(database, "day = ?", day)


def spending_in(database: Database, since_ms: int, until_ms: int) -> Spending:
    """Return what the questions of a span took (both ends included), as `spending_on` does."""
    days = (day_of(since_ms), day_of(until_ms))  # by which the table is indexed
    where = "day BETWEEN ? AND ? AND model_call.ts_ms BETWEEN ? AND ?"
    return _spending(database, where, *days, since_ms, until_ms)


def reserve(
    database: Database,
    *,
    limits: SpendingLimits,
    model: str,
    most: Charge,
    now_ms: int,
    is_visit: bool = False,
) -> int | LimitName:
    """Reserve the most that a question can take; return its number, or the limit in its way."""
    day = day_of(now_ms)
    with database.transaction():
        spent = spending_on(database, day)
        wanted = Spending(
            calls=spent.calls + 1,
            # A model's question is not held up by the agents' visits.
            visits=spent.visits + 1 if is_visit else 0,
            tokens=spent.tokens + most.tokens,
            usd_nano=spent.usd_nano + most.usd_nano,
        )
        if (limit := limits.passed_by(wanted)) is not None:
            return limit
        return database.insert(
            "INSERT INTO model_call"
            " (day, ts_ms, model, state, visit, tokens_in, tokens_out, usd_nano)"
            " VALUES (?,?,?,'reserved',?,?,?,?)",
            (day, now_ms, model, is_visit, most.tokens_in, most.tokens_out, most.usd_nano),
        )


def settle(database: Database, number: int, actual: Charge | None) -> bool:
    """Put what a question took in place of what was reserved; None: nobody knows, all of it.

    Return whether it was open: a question is settled once.
    """
    with database.transaction():
        found = database.rows(
            "SELECT 1 FROM model_call WHERE id = ? AND state = 'reserved'", (number,)
        )
        if not found:
            return False
        if actual is None:
            database.rows("UPDATE model_call SET state = 'unknown' WHERE id = ?", (number,))
        else:
            database.rows(
                "UPDATE model_call SET state = 'settled', tokens_in = ?, tokens_out = ?,"
                " usd_nano = ? WHERE id = ?",
                (actual.tokens_in, actual.tokens_out, actual.usd_nano, number),
            )
        return True


def calls_on(database: Database, day: str) -> tuple[Call, ...]:
    """Return the questions of a day, in order."""
    rows = database.rows(f"SELECT {_CALL} {_WITH_CORRECTION} WHERE day = ? ORDER BY id", (day,))
    return tuple(map(_call, rows))


def call(database: Database, number: int) -> Call | None:
    """Return a question by its number."""
    rows = database.rows(f"SELECT {_CALL} {_WITH_CORRECTION} WHERE id = ?", (number,))
    return _call(rows[0]) if rows else None


def correct(database: Database, number: int, charge: Charge, *, why: str, now_ms: int) -> None:
    """Have a question count as so much from now on."""
    with database.transaction():
        database.insert(
            "INSERT INTO model_correction (call, ts_ms, tokens_in, tokens_out, usd_nano, why)"
            " VALUES (?,?,?,?,?,?)",
            (number, now_ms, charge.tokens_in, charge.tokens_out, charge.usd_nano, why),
        )


_CALL = (
    "model_call.id, model_call.ts_ms, model, state, visit,"
    " model_call.tokens_in, model_call.tokens_out, model_call.usd_nano,"
    " fixed.tokens_in, fixed.tokens_out, fixed.usd_nano, fixed.ts_ms, fixed.why"
)
# The last correction counts.
_WITH_CORRECTION = (
    "FROM model_call LEFT JOIN model_correction AS fixed ON fixed.number ="
    " (SELECT max(number) FROM model_correction WHERE call = model_call.id)"
)


def _call(row: tuple[Any, ...]) -> Call:
    number, ts_ms, model, state, visit, *figures, corrected_ms, why = row
    booked = Charge(tokens_in=figures[0], tokens_out=figures[1], usd_nano=figures[2])
    fixed = Charge(tokens_in=figures[3], tokens_out=figures[4], usd_nano=figures[5])
    return Call(
        number=number,
        ts_ms=ts_ms,
        model=model,
        state=state,
        is_visit=bool(visit),
        booked=booked,
        charge=booked if corrected_ms is None else fixed,
        corrected_ms=corrected_ms,
        why=why or "",
    )


def _spending(database: Database, where: str, *values: str | int) -> Spending:
    rows = database.rows(
        "SELECT count(*), coalesce(sum(visit), 0),"
        " coalesce(sum(coalesce(fixed.tokens_in, model_call.tokens_in)"
        " + coalesce(fixed.tokens_out, model_call.tokens_out)), 0),"
        " coalesce(sum(coalesce(fixed.usd_nano, model_call.usd_nano)), 0)"
        f" {_WITH_CORRECTION} WHERE {where}",
        values,
    )
    calls, visits, tokens, usd_nano = rows[0]
    return Spending(calls=calls, visits=visits, tokens=tokens, usd_nano=usd_nano)
