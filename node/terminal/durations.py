"""Spans and times as people write them: `45m`, `1h30m`, `07:00`, `23:00-08:00`, `2026-03-01`."""

import math
import re
from datetime import datetime, time, timedelta
from typing import Final, NamedTuple

from protocol.errors import UsageError

LONGEST_S: Final = 1000 * 86_400
_HOURS = re.compile(r"(\d\d?):(\d\d)-(\d\d?):(\d\d)")
_DAY_TIME = re.compile(r"\d\d?:\d\d")
_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d)?")
_STEPS = ((60, 1), (300, 10), (7200, 60), (36_000, 300))  # seconds: upper bound, rounding step
_PARTS = re.compile(r"(?:(\d{1,12})d)?(?:(\d{1,12})h)?(?:(\d{1,12})m)?(?:(\d{1,12})s)?")
_SHOWN = 40  # characters of invalid input that a message shows
_SOON = timedelta(minutes=2)
_FIRST_YEAR = 1970  # records hold milliseconds since then


class Hours(NamedTuple):
    """A daily span in local time; it may cross midnight."""

    begin: time
    end: time

    def next(self, now: datetime) -> tuple[datetime, datetime]:
        """Return begin and end of the span that contains `now`, else of the next span."""
        for days in (-1, 0, 1):  # the current span may have begun yesterday
            ends_later = self.end <= self.begin
            begins = _shown(self.begin, now, days)[0]
            ends = _shown(self.end, now, days + ends_later)[-1]
            if now < ends:
                break
        return begins, ends


def parse_hours(text: str) -> Hours:
    """Return the daily span `HH:MM-HH:MM`.

    Raises UsageError for any other text, and if begin and end are equal.
    """
    no_hours = UsageError(f"`{text}` is not a range of hours", "write them like 23:00-08:00")
    if (match := _HOURS.fullmatch(text.strip())) is None:
        raise no_hours
    first, first_minute, last, last_minute = map(int, match.groups())
    try:
        hours = Hours(time(first, first_minute), time(last, last_minute))
    except ValueError as error:
        raise no_hours from error
    if hours.begin == hours.end:
        raise UsageError(
            f"`{text}` starts and ends at the same time", "leave out --schedule to work all day"
        )
    return hours


def parse_duration(text: str) -> float:
    """Return a duration such as `1d2h3m4s` in seconds.

    Raises UsageError for any other text, for zero, and for more than `LONGEST_S`.
    """
    match = _PARTS.fullmatch(text.strip().lower())
    if not match or not any(match.groups()):
        raise UsageError(
            f"`{_short(text)}` is not a time span", "write it like 30s, 45m, 8h or 1h30m"
        )
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    span_s = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if not 0 < span_s <= LONGEST_S:
        raise UsageError(f"`{_short(text)}` is out of range", "give a time from 1s to 1000d")
    return float(span_s)


def ms_before(text: str, now: datetime) -> int:
    """Return `moment_before` in milliseconds since 1970."""
    return round(moment_before(text, now).timestamp() * 1000)


def moment_before(text: str, now: datetime) -> datetime:
    """Return the past moment that a duration, a time of day or a date denotes.

    A duration counts back from `now`. A time of day is its latest occurrence. A date without a time
    is its midnight, in the zone of `now`. Raises UsageError for any other text, and for a moment in
    the future or before 1970.
    """
    no_time = UsageError(
        f"`{_short(text)}` is not a time between 1970 and now",
        "write it like 12h, 3d, 22:00 or 2026-03-01",
    )
    wanted = text.strip()
    try:
        if _DAY_TIME.fullmatch(wanted):
            hour, minute = map(int, wanted.split(":"))
            clock = time(hour, minute)
            return max(one for days in (-1, 0) for one in _shown(clock, now, days) if one <= now)
        if _DATE.fullmatch(wanted):
            moment = _at(datetime.fromisoformat(wanted), now)
        else:
            moment = now - timedelta(seconds=parse_duration(wanted))
    except (ValueError, UsageError, OverflowError) as fault:
        raise no_time from fault
    if moment.year < _FIRST_YEAR or moment > now:
        raise no_time
    return moment


def seconds_until(text: str, now: datetime) -> float:
    """Return the seconds until the next `HH:MM`. Raises UsageError for any other text."""
    try:
        hour, minute = (int(part) for part in text.split(":"))
        clock = time(hour, minute)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"`{_short(text)}` is not a time of day", "write it like 07:00") from error
    target = min(one for days in (0, 1) for one in _shown(clock, now, days) if one > now)
    return (target - now).total_seconds()


def _shown(clock: time, now: datetime, days: int) -> tuple[datetime, datetime]:
    """Return the two moments at which a local clock shows a time, `days` after today.

    They are equal, except for a time that occurs twice because the clock is set back on that day.
    """
    wall = datetime.combine(now.date() + timedelta(days=days), clock)
    return _at(wall, now), _at(wall.replace(fold=1), now)


def _at(wall: datetime, now: datetime) -> datetime:
    """Return the moment of a local time in the zone of `now`.

    If `now` has the offset of this machine's zone, that zone's rules apply, with its summer time.
    """
    if now.utcoffset() == now.astimezone().utcoffset():
        return wall.astimezone()
    return wall.replace(tzinfo=now.tzinfo)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def duration_text(seconds: float) -> str:
    """Return a duration in the format of `parse_duration`, rounded up to a multiple of a step.

    The step grows with the duration, from 1 s to 15 min.
    """
    step = next((step for below, step in _STEPS if seconds < below), 900)
    minutes, rest = divmod(math.ceil(seconds / step) * step, 60)
    hours, minutes = divmod(minutes, 60)
    parts = zip((hours, minutes, rest), "hms", strict=True)
    return "".join(f"{count}{unit}" for count, unit in parts if count)


def span_words(seconds: float) -> str:
    """Return a duration for people: `40 s`, `55 min`, `2 h 40`."""
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{max(1, round(seconds))} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02}"


def slept_words(seconds: float) -> str:
    """Return the message on a run that is repeated because the machine was suspended."""
    return f"the machine was suspended for {span_words(seconds)} during a run, which is repeated"


def clock_words(moment: datetime, now: datetime) -> str:
    """Return the time of a moment, with its date unless that is today, with seconds if soon."""
    clock = f"{moment:%H:%M:%S}" if abs(moment - now) < _SOON else f"{moment:%H:%M}"
    return clock if moment.date() == now.date() else f"{moment:%Y-%m-%d} {clock}"
