"""Spans and times of day as people write them."""

from datetime import UTC, datetime

import pytest

from node.durations import parse_duration, seconds_until
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
