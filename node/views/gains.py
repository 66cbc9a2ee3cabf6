"""How a gain is told to programs."""

from protocol.gains import Gain
from protocol.units import NANO


def gain_json(gain: Gain | None) -> dict[str, object]:
    """Return what scripts are told of a gain that may be unknown, in the metric's unit."""
    return {
        "gain": gain and gain.value_nano / NANO,
        "lower": gain and gain.lower_nano() / NANO,
        "upper": gain and gain.upper_nano / NANO,
    }
