"""Clocks of a machine that is suspended."""

import pytest

from trainer.measuring.steady import Steady


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
