"""The machine's power state: whether it runs on battery, and how long it was suspended.

Sources: the kernel's ABI, sysfs-class-power; clock_gettime(2): CLOCK_BOOTTIME is CLOCK_MONOTONIC
plus the time that the machine was suspended.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

SUPPLIES: Final = Path("/sys/class/power_supply")
_LEAST_S: Final = 0.5  # less than this may pass between two clock readings on a busy machine


def is_on_battery(supplies: Path = SUPPLIES) -> bool:
    """Return True if a battery of the machine itself is discharging and no charger is connected.

    A missing field counts as empty. A machine without a battery is never on battery.
    """
    found = [_fields(supply) for supply in sorted(supplies.glob("*"))]
    if any(one["type"] in ("Mains", "USB") and one["online"] == "1" for one in found):
        return False
    own = [one for one in found if one["type"] == "Battery" and one["scope"] != "Device"]
    return any(one["status"] == "Discharging" for one in own)  # a mouse has scope "Device"


def _fields(supply: Path) -> dict[str, str]:
    fields = {}
    for name in ("type", "scope", "online", "status"):
        try:
            fields[name] = (supply / name).read_text().strip()
        except OSError:
            fields[name] = ""
    return fields


class Steady:
    """Measures how long the machine was suspended since this object was made."""

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
        """The seconds that the machine was suspended since this object was made."""
        slept_s = self._since_boot_s() - self._awake_s() - self._slept_s
        return slept_s if slept_s >= _LEAST_S else 0.0
