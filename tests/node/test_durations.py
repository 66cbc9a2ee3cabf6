"""Spans and times of day as people write them."""

from datetime import UTC, datetime, timedelta

import pytest

from node.terminal.durations import moment_before, parse_duration, parse_hours, seconds_until
from protocol.errors import UsageError

NOON = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("45m", 2700),
        ("8h", 28_800),
        ("1h30m", 5400),
        ("90s", 90),
        ("1d2h3m4s", 93_784),
        (" 2H ", 7200),
    ],
)
def test_a_span_is_a_sum_of_its_parts(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "8", "m", "-5m", "1.5h", "30m1h", "8 hours", "1h 30m", "∞"])
def test_anything_else_is_no_span(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_duration(text)
    assert "45m" in caught.value.hint


@pytest.mark.parametrize("text", ["0s", "0h0m", "9" * 40 + "d"])
def test_a_span_of_nothing_or_for_ever_is_none(text: str) -> None:
    with pytest.raises(UsageError):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("12:01", 30), ("13:00", 3570), ("12:00", 86_370), ("07:00", 68_370)]
)
def test_a_time_of_day_is_the_next_one(text: str, seconds: float) -> None:
    assert seconds_until(text, NOON) == seconds


@pytest.mark.parametrize("text", ["", "7", "25:00", "12:60", "noon", "07:00:00", "-1:30"])
def test_anything_else_is_no_time_of_day(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        seconds_until(text, NOON)
    assert "07:00" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "at", "begins", "hours"),
    [
        ("23:00-08:00", "2026-03-01T22:59:59", "2026-03-01T23:00", 9),
        ("23:00-08:00", "2026-03-01T23:00:00", "2026-03-01T23:00", 9),
        ("23:00-08:00", "2026-03-02T00:30:00", "2026-03-01T23:00", 9),
        ("23:00-08:00", "2026-03-02T07:59:59", "2026-03-01T23:00", 9),
        ("23:00-08:00", "2026-03-02T08:00:00", "2026-03-02T23:00", 9),
        ("9:30-17:00", "2026-03-01T09:29:00", "2026-03-01T09:30", 7.5),
        ("9:30-17:00", "2026-03-01T12:00:00", "2026-03-01T09:30", 7.5),
        ("9:30-17:00", "2026-03-01T17:00:00", "2026-03-02T09:30", 7.5),
    ],
)
def test_hours_are_those_of_now_or_the_next_ones(
    text: str, at: str, begins: str, hours: float
) -> None:
    now, first = (datetime.fromisoformat(one).replace(tzinfo=UTC) for one in (at, begins))
    assert parse_hours(text).next(now) == (first, first + timedelta(hours=hours))


@pytest.mark.parametrize("text", ["", "23:00", "23-8", "24:00-08:00", "23:60-8:00", "8:00 - 9:00"])
def test_anything_else_are_no_hours(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_hours(text)
    assert "23:00-08:00" in caught.value.hint


def test_hours_that_end_as_they_begin_are_refused() -> None:
    with pytest.raises(UsageError, match="end as they begin"):
        parse_hours("08:00-8:00")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("12h", "2026-03-01T00:00:30"),
        ("3d", "2026-02-26T12:00:30"),
        ("11:59", "2026-03-01T11:59:00"),
        ("12:00", "2026-03-01T12:00:00"),
        ("22:00", "2026-02-28T22:00:00"),
        ("2026-03-01", "2026-03-01T00:00:00"),
        ("2026-02-28 22:15", "2026-02-28T22:15:00"),
        (" 2026-02-28T22:15 ", "2026-02-28T22:15:00"),
    ],
)
def test_a_moment_is_a_span_ago_the_last_such_time_or_a_date(text: str, moment: str) -> None:
    assert moment_before(text, NOON) == datetime.fromisoformat(moment).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "25:00", "2026-02-30", "2026-03-02", "2026-03-01T13:00", "0s", "8"]
)
def test_what_is_no_moment_or_still_to_come_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        moment_before(text, NOON)
    assert "22:00" in caught.value.hint
