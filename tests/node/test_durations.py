"""Spans and times of day as people write them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from time import tzset

import pytest

from node.commands.cli import main
from node.terminal.durations import (
    clock_words,
    moment_before,
    parse_duration,
    parse_hours,
    seconds_until,
)
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


def test_a_span_out_of_range_is_answered_with_the_range() -> None:
    with pytest.raises(UsageError) as caught:
        parse_duration("1001d")
    assert caught.value.hint == "give a time from 1s to 1000d"


@pytest.mark.parametrize(
    ("after_s", "shown"),
    [(3, "12:00:33"), (3600, "13:00"), (86_400, "2026-03-02 12:00")],
)
def test_a_moment_within_two_minutes_is_shown_with_its_seconds(after_s: int, shown: str) -> None:
    assert clock_words(NOON + timedelta(seconds=after_s), NOON) == shown


@pytest.mark.parametrize(
    ("text", "seconds"), [("12:01", 30), ("13:00", 3570), ("12:00", 86_370), ("07:00", 68_370)]
)
def test_a_time_of_day_is_the_next_one(text: str, seconds: float) -> None:
    assert seconds_until(text, NOON) == seconds


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine in a zone whose clock goes forward on 29 March 2026 and back on 25 October."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    tzset()
    yield
    monkeypatch.undo()
    tzset()


@pytest.mark.parametrize(
    ("now", "text", "hours"),
    [
        ("2026-03-28T22:00", "07:00", 8),
        ("2026-10-24T22:00", "07:00", 10),
        ("2026-10-25T02:30", "02:45", 0.25),  # the first time that the clock shows it
        ("2026-10-25T02:50", "02:45", 11 / 12),  # the second
        ("2026-06-01T22:00", "07:00", 9),
    ],
)
@pytest.mark.usefixtures("berlin")
def test_a_time_of_day_is_on_the_clock_also_when_that_is_changed(
    now: str, text: str, hours: float
) -> None:
    moment = datetime.fromisoformat(now).astimezone()
    assert seconds_until(text, moment) == pytest.approx(hours * 3600)


@pytest.mark.parametrize(
    ("now", "text", "hours"),
    [
        ("2026-03-29T09:00", "22:00", 10),
        ("2026-10-25T09:00", "22:00", 12),
        ("2026-10-25T09:00", "2026-10-24 22:00", 12),
        ("2026-10-25T09:00", "11h", 11),
    ],
)
@pytest.mark.usefixtures("berlin")
def test_so_is_a_moment_before(now: str, text: str, hours: float) -> None:
    moment = datetime.fromisoformat(now).astimezone()
    assert moment - moment_before(text, moment) == timedelta(hours=hours)


@pytest.mark.usefixtures("berlin")
def test_so_are_hours() -> None:
    now = datetime.fromisoformat("2026-03-28T23:30").astimezone()
    begins, ends = parse_hours("23:00-07:00").next(now)
    assert (f"{begins:%H:%M}", f"{ends:%H:%M}") == ("23:00", "07:00")
    assert ends - begins == timedelta(hours=7)


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
    with pytest.raises(UsageError, match="starts and ends at the same time"):
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


@pytest.mark.parametrize("hours", [-14, -5, 0, 2, 14])
@pytest.mark.parametrize(
    "text",
    [
        "0001-01-01",
        "0001-01-01 00:00",
        "1969-12-31",
        "9999-12-31",
        "9999-12-31 23:59",
        "0000-00-00",
        "9" * 5000,
        "9" * 5000 + "d",
        "9" * 30 + "d",
        "\udcff",
    ],
    ids=range(10),
)
def test_the_edges_of_the_calendar_are_no_times_before_now(text: str, hours: int) -> None:
    now = datetime(2026, 3, 2, 12, 0, tzinfo=timezone(timedelta(hours=hours)))
    with pytest.raises(UsageError):
        moment_before(text, now)
    assert moment_before("1970-01-02", now).timestamp() > 0


@pytest.mark.parametrize(
    "text", ["9" * 5000 + "s", "9" * 30 + "d", "9" * 5000, "1e999", "nan", "inf"]
)
def test_no_number_is_too_large_to_be_refused(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_duration(text)
    assert len(refused.value.message) < 100
    for time in (text, f"{text}:00", f"07:{text}"):
        with pytest.raises(UsageError):
            seconds_until(time, NOON)


@pytest.mark.parametrize(
    "words",
    [
        ("log", "-n", "9" * 30),
        ("logs", "-n", "9" * 30),
        ("leaderboard", "--top", "9" * 30),
        ("report", "--since", "0001-01-01"),
        ("report", "--since", "9" * 5000 + "d"),
        ("spending", "--correct", "9" * 30, "--usd", "1"),
        ("spending", "--correct", "1", "--usd", "nan"),
        ("head", "--weights", "x", "--budget", "9" * 30),
        ("pause", "--for", "9" * 5000 + "s"),
        ("start", "--for", "9" * 5000 + "s"),
        ("start", "--until", "9" * 30 + ":00"),
        ("task", "fetch", "--for", "9" * 30, "ab"),
    ],
    ids=lambda words: " ".join(words)[:30],
)
def test_commands_refuse_numbers_and_times_that_are_out_of_range(
    words: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ARNODE_HOME", str(tmp_path / "home"))
    with pytest.raises(SystemExit) as ended:
        main([*words])
    assert ended.value.code == UsageError.exit_code, capsys.readouterr().err
