"""The format of a report's figures: times, gains with their intervals, money, origins."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from node.reporting.blocks import Quoted, Span, Text, joined, quoted, text
from node.reporting.peers_part import Interval
from node.terminal.vocabulary import interval_words, sd_words
from protocol.record_kinds import Origin
from protocol.units import NANO, from_nano

_HOUR_MS = 3_600_000
_ID_DIGITS = 12
_PROGRAM_DIGITS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureWriter:
    """A formatter for the figures of one task.

    `unit` is the metric's unit. Times are in `zone`, or in local time if None.
    """

    unit: Span
    zone: tzinfo | None

    def time(self, ts_ms: int) -> str:
        """Return date and time, to the minute."""
        return time_of(ts_ms, self.zone)

    def metric(self, value: float | None) -> Text:
        """Return a metric in its unit."""
        return ("–",) if value is None else text(f"{value:.6f} ", self.unit)

    def gain(self, nano: int | None) -> Text:
        """Return a gain with its sign, in the metric's unit."""
        return ("–",) if nano is None else text(f"{nano / NANO:+.6f} ", self.unit)

    def interval(self, interval: Interval) -> Text:
        """Return a gain with its 95 % interval."""
        ends = from_nano(interval.lower_nano), from_nano(interval.upper_nano)
        return text(self.gain(interval.gain_nano), f", {interval_words(*ends)}")


def time_of(ts_ms: int, zone: tzinfo | None) -> str:
    """Return date and time, to the minute."""
    return datetime.fromtimestamp(ts_ms / 1000, zone).strftime("%Y-%m-%d %H:%M")


def hours(ms: int) -> str:
    """Return milliseconds in hours."""
    return "< 0.01" if 0 < ms < _HOUR_MS / 100 else f"{ms / _HOUR_MS:.2f}"


def rate(value: float | None) -> str:
    """Return a gain per unit of cost, or a dash without cost."""
    return "–" if value is None else f"{value:+.6f}"


def usd(usd_nano: int) -> str:
    """Return an amount in dollars, with four decimals below ten cents."""
    amount = usd_nano / NANO
    return f"${amount:.4f}" if 0 < amount < 0.1 else f"${amount:.2f}"


def deviations(value: float | None) -> str:
    """Return a gain in standard deviations of one run."""
    return "–" if value is None else sd_words(value, digits=2)


def short(digest: bytes) -> Quoted:
    """Return the first digits of an id or a key."""
    return quoted(digest.hex()[:_ID_DIGITS])


def by(authors: Sequence[bytes]) -> Text:
    """Return the text ` by AUTHORS`; empty without authors."""
    return text(" by ", joined(", ", map(short, authors))) if authors else ()


def title_of(words: str) -> Quoted:
    """Return a title, quoted."""
    return quoted(words or "no title")


def program_of(origin: Origin) -> Quoted | None:
    """Return the first digits of the hash of the instructions that a model was given."""
    return quoted(origin.program.hex()[:_PROGRAM_DIGITS]) if origin.program else None


def origin_of(origin: Origin) -> Text:
    """Return the proposer of a patch, with its model and instructions if known."""
    model = text(" with ", quoted(origin.model)) if origin.model is not None else ()
    known = program_of(origin)
    return text(origin.proposer, model, *((", program ", known) if known else ()))
