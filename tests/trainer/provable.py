"""A machine on which a card may prove itself: its driver is faked, and it lacks nothing else."""

import pytest

from tests.trainer.nvml import FakeCard, FakeDriver
from trainer.language_model import card_checks


def working_driver(monkeypatch: pytest.MonkeyPatch, card: FakeCard) -> FakeDriver:
    """Take the library's place on a machine that lacks nothing of what can be read."""
    driver = FakeDriver(cards=[card])
    driver.install(monkeypatch)
    monkeypatch.setattr(card_checks, "torch_cuda", lambda: (12, 8))
    monkeypatch.setattr(card_checks, "file_fault", lambda _card: None)
    monkeypatch.setattr(card_checks, "sandbox_fault", _no_fault)
    monkeypatch.setattr("shutil.which", lambda _name: "/usr/bin/gcc")
    return driver


async def _no_fault(_: object) -> None: ...
