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
_STEPS = ((60, 1), (300, 10), (7200, 60), (36_000, 300))  # seconds: up to where, how coarsely
_PARTS = re.compile(r"(?:(\d{1,12})d)?(?:(\d{1,12})h)?(?:(\d{1,12})m)?(?:(\d{1,12})s)?")
_SHOWN = 40  # characters of a wrong one
_FIRST_YEAR = 1970  # records hold milliseconds from there on


class Hours(NamedTuple):
    """Hours of every day, by the clock on the wall; they may pass midnight."""

    begin: time
    end: time

    def next(self, now: datetime) -> tuple[datetime, datetime]:
        """Return when they begin and end: those that are just now, else the next ones."""
        for days in (-1, 0, 1):  # they may have begun yesterday
            ends_later = self.end <= self.begin
            begins = _shown(self.begin, now, days)[0]
            ends = _shown(self.end, now, days + ends_later)[-1]
            if now < ends:
                break
        return begins, ends


def parse_hours(text: str) -> Hours:
    """Return hours of the day. Raises UsageError for anything but `HH:MM-HH:MM`."""
    no_hours = UsageError(f"`{text}` are no hours of the day", "write them like 23:00-08:00")
    if (match := _HOURS.fullmatch(text.strip())) is None:
        raise no_hours
    first, first_minute, last, last_minute = map(int, match.groups())
    try:
        hours = Hours(time(first, first_minute), time(last, last_minute))
    except ValueError as error:
        raise no_hours from error
    if hours.begin == hours.end:
        raise UsageError(f"`{text}` end as they begin", "without --schedule it works all day")
    return hours


def parse_duration(text: str) -> float:
    """Return seconds. Raises UsageError for anything but a sum of days, hours, minutes, seconds."""
    match = _PARTS.fullmatch(text.strip().lower())
    if not match or not any(match.groups()):
        raise UsageError(f"`{_short(text)}` is no span of time", "write it like 45m, 8h or 1h30m")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    span_s = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if not 0 < span_s <= LONGEST_S:
        raise UsageError(f"`{_short(text)}` is no span to work for", "give one of 1s to 1000d")
    return float(span_s)


def moment_before(text: str, now: datetime) -> datetime:
    """Return the time that a span before now, a time of day or a date means: never one to come.

    A time of day is the last one that the clock showed, a date its beginning where `now` is.
    Raises UsageError for anything else, and for what is before 1970.
    """
    no_time = UsageError(
        f"`{_short(text)}` is no time between 1970 and now",
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
    """Return the seconds until the next time that the clock shows `HH:MM`."""
    try:
        hour, minute = (int(part) for part in text.split(":"))
        clock = time(hour, minute)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"`{_short(text)}` is no time of day", "write it like 07:00") from error
    target = min(one for days in (0, 1) for one in _shown(clock, now, days) if one > now)
    return (target - now).total_seconds()


def _shown(clock: time, now: datetime, days: int) -> tuple[datetime, datetime]:
    """Return when the clock on the wall shows a time, so many days after today.

    Twice the same, unless it is put back on that day and shows it twice.
    """
    wall = datetime.combine(now.date() + timedelta(days=days), clock)
    return _at(wall, now), _at(wall.replace(fold=1), now)


def _at(wall: datetime, now: datetime) -> datetime:
    """Return the moment of a time on the wall, where `now` is: by the rules of this machine's zone,
    which has another offset in summer.
    """
    if now.utcoffset() == now.astimezone().utcoffset():
        return wall.astimezone()
    return wall.replace(tzinfo=now.tzinfo)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def duration_text(seconds: float) -> str:
    """Return a span as `parse_duration` reads it, rounded up to what people would write."""
    step = next((step for below, step in _STEPS if seconds < below), 900)
    minutes, rest = divmod(math.ceil(seconds / step) * step, 60)
    hours, minutes = divmod(minutes, 60)
    parts = zip((hours, minutes, rest), "hms", strict=True)
    return "".join(f"{count}{unit}" for count, unit in parts if count)


def span_words(seconds: float) -> str:
    """Return a span for people: `40 s`, `55 min`, `2 h 40`."""
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{max(1, round(seconds))} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02}"


def slept_words(seconds: float) -> str:
    """Return what is said of a run over which the machine was suspended for so long."""
    return f"the machine was suspended for {span_words(seconds)} during a run, which is made again"


def clock_words(moment: datetime, now: datetime) -> str:
    """Return what the clock shows at a moment, with its day if that is not today."""
    is_today = moment.date() == now.date()
    return f"{moment:%H:%M}" if is_today else f"{moment:%Y-%m-%d %H:%M}"
