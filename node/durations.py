"""Spans and times of day as people write them: `45m`, `1h30m`, `07:00`."""

import re
from datetime import datetime, timedelta

from protocol.errors import UsageError

_LONGEST_S = 1000 * 86_400
_PARTS = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


def parse_duration(text: str) -> float:
    """Return seconds. Raises UsageError for anything but a sum of days, hours, minutes, seconds."""
    match = _PARTS.fullmatch(text.strip().lower())
    if not match or not any(match.groups()):
        raise UsageError(f"`{text}` is no span of time", "write it like 45m, 8h or 1h30m")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    span_s = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if not 0 < span_s <= _LONGEST_S:
        raise UsageError(f"`{text}` is no span to work for", "give one of 1s to 1000d")
    return float(span_s)


def seconds_until(text: str, now: datetime) -> float:
    """Return the seconds until the next time that the clock shows `HH:MM`."""
    try:
        hour, minute = (int(part) for part in text.split(":"))
        target = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    except ValueError as error:
        raise UsageError(f"`{text}` is no time of day", "write it like 07:00") from error
    if target <= now:
        target += timedelta(days=1)
    return (target - now).total_seconds()
