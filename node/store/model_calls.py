"""The cost of model calls: one row for each call, reserved before it, settled after it.

Reserving checks the day's sum and adds to it in one transaction, which is on the disk before the
call is sent. So the limits hold for any number of tasks, processes and kills. A reservation that is
never settled counts in full for ever, unless the user corrects it. A correction is a row of its own
that counts instead of the original, which stays. Days are in UTC, by the time of the reservation.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from node.store.database import Database

LimitName = Literal["usd_per_day", "tokens_per_day", "calls_per_day", "visits_per_day"]
State = Literal["reserved", "settled", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCostTotals:
    """The numbers of calls, visits and tokens, and the cost in 1e-9 USD.

    A visit is one call of a coding agent, for one proposal. Visits count as calls too.
    """

    calls: int = 0
    visits: int = 0
    tokens: int = 0
    usd_nano: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCostLimits:
    """The limits per day; None means unlimited."""

    calls: int | None = None
    tokens: int | None = None
    usd_nano: int | None = None
    visits: int | None = None

    def after(self, spent: ModelCostTotals) -> "ModelCostLimits":
        """Return what remains of the limits after these costs; each is at least 0."""

        def left(most: int | None, taken: int) -> int | None:
            return None if most is None else max(0, most - taken)

        return ModelCostLimits(
            calls=left(self.calls, spent.calls),
            tokens=left(self.tokens, spent.tokens),
            usd_nano=left(self.usd_nano, spent.usd_nano),
            visits=left(self.visits, spent.visits),
        )

    def passed_by(self, total: ModelCostTotals) -> LimitName | None:
        """Return the first limit that `total` exceeds; None if there is none."""
        most: tuple[tuple[LimitName, int, int | None], ...] = (
            ("usd_per_day", total.usd_nano, self.usd_nano),
            ("tokens_per_day", total.tokens, self.tokens),
            ("calls_per_day", total.calls, self.calls),
            ("visits_per_day", total.visits, self.visits),
        )
        return next(
            (name for name, sum_, limit in most if limit is not None and sum_ > limit), None
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """The cost of one call."""

    tokens_in: int
    tokens_out: int
    usd_nano: int

    @property
    def tokens(self) -> int:
        """Tokens of the prompt and the answer together."""
        return self.tokens_in + self.tokens_out


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A stored call. `charge` is the cost that counts, `charged` the cost before corrections.

    `corrected_ms` and `why` are the last correction's time and reason. They are None and "" if the
    cost was never corrected.
    """

    number: int
    ts_ms: int
    model: str
    state: State
    is_visit: bool
    charged: Charge
    charge: Charge
    corrected_ms: int | None
    why: str


def day_of(ts_ms: int) -> str:
    """Return the UTC day of a time."""
    return datetime.fromtimestamp(ts_ms / 1000, UTC).strftime("%Y-%m-%d")


def costs_on_day(database: Database, day: str) -> ModelCostTotals:
    """Return the costs of a day so far: settled, reserved and unknown."""
    return _model_costs(database, "day = ?", day)


def costs_between(database: Database, since_ms: int, until_ms: int) -> ModelCostTotals:
    """Return the costs from `since_ms` to `until_ms`, both included, as `costs_on_day` does."""
    days = (day_of(since_ms), day_of(until_ms))  # the table's index is by day
    where = "day BETWEEN ? AND ? AND model_call.ts_ms BETWEEN ? AND ?"
    return _model_costs(database, where, *days, since_ms, until_ms)


def reserve(
    database: Database,
    *,
    limits: ModelCostLimits,
    model: str,
    most: Charge,
    now_ms: int,
    is_visit: bool = False,
) -> int | LimitName:
    """Reserve the most that a call can cost; return its number, or the limit it would exceed."""
    day = day_of(now_ms)
    with database.transaction():
        spent = costs_on_day(database, day)
        wanted = ModelCostTotals(
            calls=spent.calls + 1,
            # The limit of visits does not apply to model calls.
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
    """Replace the reserved cost of a call by the actual one.

    If `actual` is None, the cost is unknown and the whole reservation counts. Return
    True if the call was open; a call is settled only once.
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
    """Return the calls of a day, in order."""
    rows = database.rows(f"SELECT {_CALL} {_WITH_CORRECTION} WHERE day = ? ORDER BY id", (day,))
    return tuple(map(_call, rows))


def call(database: Database, number: int) -> Call | None:
    """Return the call with this number."""
    rows = database.rows(f"SELECT {_CALL} {_WITH_CORRECTION} WHERE id = ?", (number,))
    return _call(rows[0]) if rows else None


def correct(database: Database, number: int, charge: Charge, *, why: str, now_ms: int) -> None:
    """Store a correction of a call's cost, which counts from now on."""
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
    charged = Charge(tokens_in=figures[0], tokens_out=figures[1], usd_nano=figures[2])
    fixed = Charge(tokens_in=figures[3], tokens_out=figures[4], usd_nano=figures[5])
    return Call(
        number=number,
        ts_ms=ts_ms,
        model=model,
        state=state,
        is_visit=bool(visit),
        charged=charged,
        charge=charged if corrected_ms is None else fixed,
        corrected_ms=corrected_ms,
        why=why or "",
    )


def _model_costs(database: Database, where: str, *values: str | int) -> ModelCostTotals:
    rows = database.rows(
        "SELECT count(*), coalesce(sum(visit), 0),"
        " coalesce(sum(coalesce(fixed.tokens_in, model_call.tokens_in)"
        " + coalesce(fixed.tokens_out, model_call.tokens_out)), 0),"
        " coalesce(sum(coalesce(fixed.usd_nano, model_call.usd_nano)), 0)"
        f" {_WITH_CORRECTION} WHERE {where}",
        values,
    )
    calls, visits, tokens, usd_nano = rows[0]
    return ModelCostTotals(calls=calls, visits=visits, tokens=tokens, usd_nano=usd_nano)
