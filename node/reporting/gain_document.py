"""How a gain that may be unknown is told to scripts."""

from typing import TypedDict

from protocol.gains import Gain
from protocol.units import NANO


class GainDocument(TypedDict):
    """A gain with its interval, in the metric's unit; all nil where it is not known."""

    gain: float | None
    lower: float | None
    upper: float | None


def gain_document(gain: Gain | None) -> GainDocument:
    """Return what scripts are told of a gain."""
    return {
        "gain": None if gain is None else gain.value_nano / NANO,
        "lower": None if gain is None else gain.lower_nano() / NANO,
        "upper": None if gain is None else gain.upper_nano / NANO,
    }
