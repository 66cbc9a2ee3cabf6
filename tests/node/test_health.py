"""Cards in `arnode doctor`."""

from pathlib import Path

import pynvml
import pytest

from node.home.home import Home
from node.maintenance.doctor import Check, examine
from tests.trainer.nvml import FakeCard, FakeDriver


def device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, driver: FakeDriver) -> Check:
    driver.install(monkeypatch)
    return next(check for check in examine(Home(tmp_path)) if check.name == "device")


def test_each_card_is_named_with_its_class_its_driver_and_its_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    card = FakeCard(name="NVIDIA GeForce RTX 4090", mib=24564, power_w=320)
    other = FakeCard(name="NVIDIA GeForce RTX 3060", mib=12288, capability=(8, 6))
    found = device(monkeypatch, tmp_path, FakeDriver(cards=[card, other]))
    assert found.status == "warning"  # torch is built for the CPU here
    assert "built for the CPU only" in found.detail
    assert "trainer.cards.install_torch cu126" in found.hint
    for said in (
        "RTX 4090 (rtx4090-24g), driver 570.133.20, 320 of 450 W; ",
        "RTX 3060 (rtx3060-12g), driver 570.133.20; ",
    ):
        assert said in found.detail


def test_half_a_power_limit_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    laptop = FakeCard(name="NVIDIA GeForce RTX 4090 Laptop GPU", mib=16376, power_w=None)
    found = device(monkeypatch, tmp_path, FakeDriver(cards=[laptop]))
    assert "(rtx4090-laptop-16g), driver 570.133.20; " in found.detail


def test_a_driver_that_does_not_answer_is_a_warning_with_a_fix(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    driver = FakeDriver(fault=pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH)
    found = device(monkeypatch, tmp_path, driver)
    assert found.status == "warning"
    assert "does not answer" in found.detail
    assert "nvidia-smi" in found.hint


def test_a_machine_without_a_driver_is_fine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    driver = FakeDriver(fault=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
    found = device(monkeypatch, tmp_path, driver)
    assert (found.status, found.hint) == ("ok", "")
    assert found.detail.endswith("no NVIDIA card")
