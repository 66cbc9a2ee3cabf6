"""Machines by what the kernel tells of their supplies."""

from pathlib import Path

import pytest

from trainer.host.battery import is_on_battery

MAINS, UNPLUGGED = {"type": "Mains", "online": "1"}, {"type": "Mains", "online": "0"}
CHARGER = {"type": "USB", "online": "1"}
EMPTIED, CHARGED = (
    {"type": "Battery", "status": status, "scope": "System"} for status in ("Discharging", "Full")
)
MOUSE = {"type": "Battery", "status": "Discharging", "scope": "Device"}
PLAIN = {"type": "Battery", "status": "Discharging"}  # many laptops tell no scope


@pytest.mark.parametrize(
    ("supplies", "expected"),
    [
        ([], False),
        ([MAINS], False),
        ([UNPLUGGED, EMPTIED], True),
        ([UNPLUGGED, PLAIN], True),
        ([EMPTIED], True),
        ([MAINS, EMPTIED], False),  # some empty theirs a little beside the mains
        ([CHARGER, EMPTIED], False),
        ([UNPLUGGED, CHARGED], False),
        ([MOUSE], False),
        ([UNPLUGGED, CHARGED, EMPTIED], True),
    ],
)
def test_a_battery_that_is_emptied_is_one(
    tmp_path: Path, supplies: list[dict[str, str]], expected: bool
) -> None:
    for number, supply in enumerate(supplies):
        (tmp_path / f"S{number}").mkdir()
        for name, told in supply.items():
            (tmp_path / f"S{number}" / name).write_text(f"{told}\n")
    assert is_on_battery(tmp_path) is expected


def test_a_machine_without_that_folder_has_no_battery(tmp_path: Path) -> None:
    assert is_on_battery(tmp_path / "none") is False
