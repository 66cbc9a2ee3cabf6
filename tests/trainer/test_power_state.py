"""Machines, by the kernel's report on power supplies and clocks."""

from pathlib import Path

import pytest

from trainer.host.power_state import Steady, is_on_battery

MAINS, UNPLUGGED = {"type": "Mains", "online": "1"}, {"type": "Mains", "online": "0"}
CHARGER = {"type": "USB", "online": "1"}
EMPTIED, CHARGED = (
    {"type": "Battery", "status": status, "scope": "System"} for status in ("Discharging", "Full")
)
MOUSE = {"type": "Battery", "status": "Discharging", "scope": "Device"}
PLAIN = {"type": "Battery", "status": "Discharging"}  # many laptops report no scope


@pytest.mark.parametrize(
    ("supplies", "expected"),
    [
        ([], False),
        ([MAINS], False),
        ([UNPLUGGED, EMPTIED], True),
        ([UNPLUGGED, PLAIN], True),
        ([EMPTIED], True),
        ([MAINS, EMPTIED], False),  # some discharge theirs a little on mains power
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
        for name, reported in supply.items():
            (tmp_path / f"S{number}" / name).write_text(f"{reported}\n")
    assert is_on_battery(tmp_path) is expected


def test_a_machine_without_that_folder_has_no_battery(tmp_path: Path) -> None:
    assert is_on_battery(tmp_path / "none") is False


def test_what_the_clocks_are_apart_since_then_is_the_suspend() -> None:
    awake_s, slept_s = 1000.0, 50.0  # it slept before, too
    steady = Steady(awake_s=lambda: awake_s, since_boot_s=lambda: awake_s + slept_s)
    awake_s += 300
    assert steady.slept_s == 0
    slept_s += 0.1
    assert steady.slept_s == 0
    slept_s += 3600
    assert steady.slept_s == pytest.approx(3600.1)


def test_this_machine_was_awake() -> None:
    assert Steady().slept_s == 0
