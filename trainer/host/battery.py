"""Whether this machine runs on its battery. Source: the kernel's ABI, sysfs-class-power."""

from pathlib import Path
from typing import Final

SUPPLIES: Final = Path("/sys/class/power_supply")


def is_on_battery(supplies: Path = SUPPLIES) -> bool:
    """Say so if a battery of the machine itself is being emptied and nothing charges it.

    What a supply does not tell, it is not: a machine without a battery has none.
    """
    found = [_told(supply) for supply in sorted(supplies.glob("*"))]
    if any(one["type"] in ("Mains", "USB") and one["online"] == "1" for one in found):
        return False
    own = [one for one in found if one["type"] == "Battery" and one["scope"] != "Device"]
    return any(one["status"] == "Discharging" for one in own)  # a mouse's is a device's


def _told(supply: Path) -> dict[str, str]:
    told = {}
    for name in ("type", "scope", "online", "status"):
        try:
            told[name] = (supply / name).read_text().strip()
        except OSError:
            told[name] = ""
    return told
