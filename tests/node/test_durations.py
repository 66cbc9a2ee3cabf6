"""Spans and times of day as people write them."""

from datetime import UTC, datetime, timedelta

import pytest

from node.durations import parse_duration, parse_hours, seconds_until
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
