"""What asking models took: a row for each question, reserved before it is asked, settled after.

Reserving looks at the day's sum and adds to it in one transaction that is on the disk before the
question leaves, so that no number of tasks, processes or kills passes a limit. What was reserved
and never settled counts in full for ever. Days are UTC's, of the moment of reserving.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from node.store.database import Database

LimitName = Literal["usd_per_day", "tokens_per_day", "calls_per_day"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """Questions, their tokens (prompt and answer), and 1e-9 USD."""

    calls: int = 0
    tokens: int = 0
    usd_nano: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The most of each in a day; None: as much as one likes."""

    calls: int | None = None
    tokens: int | None = None
    usd_nano: int | None = None

    def passed_by(self, spending: Spending) -> LimitName | None:
        """Return which limit so much would pass, None if none."""
        most: tuple[tuple[LimitName, int, int | None], ...] = (
            ("usd_per_day", spending.usd_nano, self.usd_nano),
            ("tokens_per_day", spending.tokens, self.tokens),
            ("calls_per_day", spending.calls, self.calls),
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


def day_of(ts_ms: int) -> str:
    """Return the day (UTC) that a moment belongs to."""
    return datetime.fromtimestamp(ts_ms / 1000, UTC).strftime("%Y-%m-%d")


def spending_on(database: Database, day: str) -> Spending:
    """Return what a day took so far: settled, reserved and unknown."""
    return _spending(database, "day = ?", day)


def spending_in(database: Database, since_ms: int, until_ms: int) -> Spending:
    """Return what the questions of a span took (both ends included), as `spending_on` does."""
    days = (day_of(since_ms), day_of(until_ms))  # by which the table is indexed
    where = "day BETWEEN ? AND ? AND ts_ms BETWEEN ? AND ?"
    return _spending(database, where, *days, since_ms, until_ms)


def reserve(
    database: Database, *, limits: Limits, model: str, most: Charge, now_ms: int
) -> int | LimitName:
    """Reserve the most that a question can take; return its number, or the limit in its way."""
    day = day_of(now_ms)
    with database.transaction():
        spent = spending_on(database, day)
        wanted = Spending(
            calls=spent.calls + 1,
            tokens=spent.tokens + most.tokens_in + most.tokens_out,
            usd_nano=spent.usd_nano + most.usd_nano,
        )
        if (limit := limits.passed_by(wanted)) is not None:
            return limit
        return database.insert(
            "INSERT INTO model_call (day, ts_ms, model, state, tokens_in, tokens_out, usd_nano)"
            " VALUES (?,?,?,'reserved',?,?,?)",
            (day, now_ms, model, most.tokens_in, most.tokens_out, most.usd_nano),
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


def _spending(database: Database, where: str, *values: str | int) -> Spending:
    rows = database.rows(
        "SELECT count(*),"  # noqa: S608 (a condition of this module's)
        " coalesce(sum(tokens_in + tokens_out), 0), coalesce(sum(usd_nano), 0)"
        f" FROM model_call WHERE {where}",
        values,
    )
    calls, tokens, usd_nano = rows[0]
    return Spending(calls=calls, tokens=tokens, usd_nano=usd_nano)
