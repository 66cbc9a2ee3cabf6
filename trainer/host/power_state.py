"""Whether this machine runs on its battery, and whether it was suspended meanwhile.

Sources: the kernel's ABI, sysfs-class-power; clock_gettime(2): CLOCK_BOOTTIME is CLOCK_MONOTONIC
and the time for which the machine was suspended.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

SUPPLIES: Final = Path("/sys/class/power_supply")
_LEAST_S: Final = 0.5  # between two readings of clocks, as on a machine that is overloaded


def is_on_battery(supplies: Path = SUPPLIES) -> bool:
    """Return True if a battery of the machine itself is being emptied and nothing charges it.

    A supply without a field counts as having none, and so does a machine without a battery.
    """
    found = [_fields(supply) for supply in sorted(supplies.glob("*"))]
    if any(one["type"] in ("Mains", "USB") and one["online"] == "1" for one in found):
        return False
    own = [one for one in found if one["type"] == "Battery" and one["scope"] != "Device"]
    return any(one["status"] == "Discharging" for one in own)  # a mouse's is a device's


def _fields(supply: Path) -> dict[str, str]:
    fields = {}
    for name in ("type", "scope", "online", "status"):
        try:
            fields[name] = (supply / name).read_text().strip()
        except OSError:
            fields[name] = ""
    return fields


class Steady:
    """Measures for how long the machine was suspended since this was made."""

    def __init__(
        self,
        *,
        awake_s: Callable[[], float] = time.monotonic,
        since_boot_s: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
    ) -> None:
        self._awake_s, self._since_boot_s = awake_s, since_boot_s
        self._slept_s = since_boot_s() - awake_s()

    @property
    def slept_s(self) -> float:
        """For how many seconds the machine was suspended since then."""
        slept_s = self._since_boot_s() - self._awake_s() - self._slept_s
        return slept_s if slept_s >= _LEAST_S else 0.0
